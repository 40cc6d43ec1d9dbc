// Owns the proof, with the loggers themselves, that a connection which is logged as it is takes no token along.
'use strict'

const { Writable } = require('node:stream')
const { ACCESS_TOKEN, flat, json, startPlatform } = require('../support/platform')
const pino = require('./node_modules/pino')
const winston = require('./node_modules/winston')

let platform
let connection
beforeAll(async () => {
  platform = await startPlatform(json(200, flat()))
  connection = await platform.client().getConnection('u1', 'slack')
})
afterAll(() => platform.close())

/** What a logger writes that is made for a stream. */
function written(log) {
  const chunks = []
  log(new Writable({ write: (chunk, _encoding, done) => done(void chunks.push(String(chunk))) }))
  return chunks.join('')
}

const withWinston = (stream, format) =>
  winston.createLogger({ format, transports: [new winston.transports.Stream({ stream })] })

const { combine, json: asJson, prettyPrint, simple, splat } = winston.format

test.each([
  ['a root object of pino', stream => pino(stream).info(connection)],
  ['a root object of pino with a message', stream => pino(stream).info(connection, 'connected')],
  ['a field of pino', stream => pino(stream).info({ connection }, 'connected')],
  ['a value in a message of pino', stream => pino(stream).info('connected: %o', connection)],
  ['bindings of a child of pino', stream => pino(stream).child(connection).info('connected')],
  ['metadata of winston', stream => withWinston(stream, asJson()).info('connected', connection)],
  ['metadata of winston as text', stream => withWinston(stream, simple()).info('connected', connection)],
  [
    'metadata of winston, printed',
    stream => withWinston(stream, prettyPrint()).info('connected', connection),
  ],
  ['a field of winston', stream => withWinston(stream, asJson()).info('connected', { connection })],
  [
    'a value in a message of winston',
    stream => withWinston(stream, combine(splat(), simple())).info('connected: %o', connection),
  ],
  [
    'metadata of a child of winston',
    stream => withWinston(stream, asJson()).child(connection).info('connected'),
  ],
  [
    'an entry of winston',
    stream => withWinston(stream, asJson()).log({ level: 'info', message: 'm', ...connection }),
  ],
])('%s has the connection without its token', (_name, log) => {
  const text = written(log)

  expect(text).toContain('con_1')
  expect(text).not.toContain(ACCESS_TOKEN)
})
