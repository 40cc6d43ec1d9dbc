// What holds of every body that somebody could send to the route of a webhook.

const fc = require('fast-check')
const { readWebhook } = require('../lib/webhook.js')

const MARKER = 'value-marker'

// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what no id holds
const isId = id => id.trim() !== '' && id !== '.' && id !== '..' && !/[\0-\x1f\x7f-\x9f]/.test(id)
const id = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }).filter(isId)
const more = fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 })

const event = fc
  .record({ type: id, slug: id, ownerId: id, connectionId: fc.option(id, { nil: undefined }), more })
  .map(({ more, ...event }) => ({ event, more }))

/** The body of an event, with whatever else the platform may send along. */
function bodyOf({ event: { type, slug, ownerId, connectionId }, more }) {
  return {
    ...more,
    event_type: type,
    payload: {
      ...more,
      connector: { ...more, slug },
      context: { ...more, external_id: ownerId },
      ...(connectionId === undefined
        ? { connection: more }
        : { connection: { ...more, external_id: connectionId } }),
    },
  }
}

test('an event is the same as text, as bytes and as an object, whatever stands beside it', () => {
  fc.assert(
    fc.property(event, given => {
      const expected = { ...given.event }
      const text = JSON.stringify(bodyOf(given))
      const other = given.more.external_id
      if (expected.connectionId === undefined) {
        delete expected.connectionId
        // What stands beside it may name one.
        if (typeof other === 'string' || typeof other === 'number') return
      }
      for (const body of [
        text,
        `\ufeff${text}`,
        Buffer.from(text),
        new TextEncoder().encode(text),
        JSON.parse(text),
      ]) {
        expect(readWebhook(body)).toEqual(expected)
      }
    }),
  )
})

test('a number of an owner is the string of its digits', () => {
  fc.assert(
    fc.property(event, fc.maxSafeInteger(), (given, number) => {
      const body = bodyOf(given)
      body.payload.context.external_id = number
      expect(readWebhook(JSON.stringify(body)).ownerId).toBe(String(number))
    }),
  )
})

test('an event that was cut off anywhere is refused', () => {
  fc.assert(
    fc.property(event, fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (given, part) => {
      const text = JSON.stringify(bodyOf(given))
      const cut = text.slice(0, Math.floor(text.length * part))
      expect(() => readWebhook(cut)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }))
    }),
  )
})

test('whatever is sent is read or refused by a TypeError that repeats nothing of it', () => {
  const anything = fc.anything({
    key: fc.oneof(
      fc.constantFrom('event_type', 'payload', 'connector', 'context', 'connection', 'slug', 'external_id'),
      fc.string(),
    ),
    values: [
      fc.string().map(text => MARKER + text),
      fc.constantFrom(null, undefined, true),
      fc.double(),
      fc.uint8Array(),
    ],
    withNullPrototype: true,
    withDate: true,
    withMap: true,
    maxDepth: 5,
  })
  const body = fc.oneof(
    anything,
    anything.map(value => JSON.stringify(value)),
    fc.string(),
    fc.uint8Array({ maxLength: 200 }),
  )
  fc.assert(
    fc.property(body, value => {
      let read
      try {
        read = readWebhook(value)
      } catch (error) {
        expect(error).toMatchObject({
          name: 'TypeError',
          code: expect.stringMatching(/^ERR_INVALID_ARG_(TYPE|VALUE)$/),
        })
        expect(error.message).toMatch(/^body/)
        expect(error.message).not.toContain(MARKER)
        return
      }
      for (const name of ['type', 'ownerId', 'slug']) expect(isId(read[name])).toBe(true)
    }),
    { numRuns: 400 },
  )
})
