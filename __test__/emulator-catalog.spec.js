// Owns the proof of the emulator's catalog page: what it shows, what its buttons do, and whom it refuses.
'use strict'

const http = require('node:http')
const { XkitClient } = require('..')
const { startEmulator } = require('../emulator/index.js')

let emulator

afterEach(() => emulator.close())

async function start(options) {
  emulator = await startEmulator(options)
}

function ask(path, { method = 'GET', headers = {}, form } = {}) {
  const { hostname, port } = new URL(emulator.catalogUrl)
  const body = form === undefined ? '' : new URLSearchParams(form).toString()
  return new Promise((resolve, reject) => {
    const request = http.request(
      { hostname, port, path, method, agent: false, headers: { 'content-length': body.length, ...headers } },
      async response => {
        const chunks = []
        for await (const chunk of response) chunks.push(chunk)
        resolve({
          status: response.statusCode,
          headers: response.headers,
          text: Buffer.concat(chunks).toString(),
        })
      },
    )
    request.on('error', reject).end(body)
  })
}

function post(path, form, headers) {
  return ask(path, { method: 'POST', form, headers })
}

async function authorizationOf(path) {
  const key = Buffer.from(`${emulator.publishableKey}:${emulator.secretKey}`).toString('base64')
  const { text } = await ask(`/api/platform${path}`, { headers: { authorization: `Basic ${key}` } })
  return JSON.parse(text).authorization
}

/** One entry per owner of a connector's page: heading, state, buttons. */
function sections(html) {
  return html
    .split('<section>')
    .slice(1)
    .map(section => ({
      owner: section.match(/<h2>(.*?)<\/h2>/)?.[1].replace(/<\/?bdi>/g, ''),
      state: section.match(/<span class="\w+">(.*?)<\/span>/)?.[1],
      buttons: Array.from(
        section.matchAll(/<button type="submit" name="action" value="(\w+)"/g),
        match => match[1],
      ),
    }))
}

describe('the first page', () => {
  test('lists each owner with its connectors and their state', async () => {
    await start({
      users: { u1: { slack: {}, github: { status: 'error' } }, u2: {} },
      groups: { acme: { slack: { enabled: false } } },
      contexts: { c1: { 'google-drive': { status: 'awaiting_callback' } } },
    })
    const { status, headers, text } = await ask('/')
    expect(status).toBe(200)
    expect(headers['content-type']).toBe('text/html; charset=utf-8')
    expect(sections(text).map(({ owner }) => owner)).toEqual([
      'user u1',
      'user u2',
      'group acme',
      'context c1',
    ])
    const lines = Array.from(text.matchAll(/<li>(.*)<\/li>/g), match => match[1].replace(/<[^>]+>/g, ''))
    expect(lines).toEqual([
      'Slack slack active',
      'Github github needs repair',
      'Slack slack not enabled',
      'Google Drive google-drive pending (awaiting_callback)',
    ])
    expect(text).toMatch(/user <bdi>u2<\/bdi><\/h2>\n<p class="soft">No connector is set up yet/)
    expect(text).toContain('href="/connectors/google-drive?context=c1"')
  })

  test('says what to do if there is no owner yet', async () => {
    await start()
    expect((await ask('/')).text).toMatch(/--seed seed\.json/)
    expect((await ask('/connectors/slack')).text).toMatch(/There is no owner yet/)
  })

  test('its form opens a connector by its slug', async () => {
    await start({ users: { u1: {} } })
    const { text } = await ask('/')
    expect(text).toMatch(
      /<form method="get" action="\/connectors">\n<label for="slug">.+\n<input id="slug" name="slug"/,
    )
    const opened = await ask('/connectors?slug=+a%2Fb+')
    expect([opened.status, opened.headers.location]).toEqual([303, '/connectors/a%2Fb'])
    expect((await ask('/connectors')).headers.location).toBe('/')
  })
})

describe('the page of a connector', () => {
  test('shows it for each owner, with the buttons that its state allows', async () => {
    await start({
      users: { u1: { slack: {} }, u2: {}, u3: { slack: { enabled: false } } },
      groups: { acme: { slack: { status: 'error', errorCode: 'gone', errorMessage: 'Access was revoked' } } },
      contexts: { c1: { slack: { status: 'retrieving_tokens' } } },
    })
    const { text } = await ask('/connectors/slack')
    expect(sections(text)).toEqual([
      { owner: 'user u1', state: 'active', buttons: ['disable', 'break'] },
      { owner: 'user u2', state: 'not set up', buttons: ['enable'] },
      { owner: 'user u3', state: 'not enabled', buttons: ['enable'] },
      { owner: 'group acme', state: 'needs repair', buttons: ['repair', 'disable'] },
      { owner: 'context c1', state: 'pending (retrieving_tokens)', buttons: ['repair', 'disable'] },
    ])
    expect(text).toContain('gone: Access was revoked')
    expect(text).toContain('aria-label="repair slack for group acme">Repair</button>')
  })

  test('an unknown slug is not set up, and can be enabled', async () => {
    await start({ users: { u1: { slack: {} } } })
    expect(sections((await ask('/connectors/never-heard-of')).text)).toEqual([
      { owner: 'user u1', state: 'not set up', buttons: ['enable'] },
    ])
  })

  test('can be narrowed to one owner, also to one with an odd id', async () => {
    await start({
      users: { a: {}, b: {}, ['__proto__']: {} },
      groups: { a: {} },
      contexts: { 'a&b=c d': {} },
    })
    const owners = async query =>
      sections((await ask(`/connectors/slack${query}`)).text).map(({ owner }) => owner)
    expect(await owners('?user=a')).toEqual(['user a'])
    expect(await owners('?group=a')).toEqual(['group a'])
    expect(await owners('?context=a%26b%3Dc+d')).toEqual(['context a&amp;b=c d'])
    expect(await owners('?unrelated=a')).toHaveLength(5)
    const nobody = await ask('/connectors/slack?user=nobody')
    expect(nobody.status).toBe(200)
    expect(nobody.text).toMatch(/knows no such owner/)
  })

  test.each(['/connectors/%ff', '/connectors/%2e%2e', '/connectors/%20', '/connectors/%0a'])(
    '%s is a 400',
    async path => {
      await start({ users: { u1: {} } })
      expect((await ask(path)).status).toBe(400)
      expect((await post(path, { kind: 'user', id: 'u1', action: 'enable' })).status).toBe(400)
    },
  )

  test.each(['/nowhere', '/connectors/', '/connectors/a/b', '/api', '/api/platformx'])(
    '%s is a 404',
    async path => {
      await start()
      expect((await ask(path)).status).toBe(404)
      expect(emulator.requests).toEqual([])
    },
  )

  test('other methods are a 405 that says which are allowed', async () => {
    await start()
    const home = await post('/', {})
    expect([home.status, home.headers.allow]).toEqual([405, 'GET, HEAD'])
    const connector = await ask('/connectors/slack', { method: 'PUT' })
    expect([connector.status, connector.headers.allow]).toEqual([405, 'GET, HEAD, POST'])
    const head = await ask('/connectors/slack', { method: 'HEAD' })
    expect([head.status, head.text]).toEqual([200, ''])
  })
})

describe('the buttons', () => {
  test('break, repair, disable and enable a connection, and lead back to the same page', async () => {
    await start({ users: { u1: { slack: { accessToken: 'first', expiresIn: 600 } } } })
    const press = async action => {
      const { status, headers } = await post('/connectors/slack?user=u1', { kind: 'user', id: 'u1', action })
      expect([status, headers.location]).toEqual([303, '/connectors/slack?user=u1&changed=user%3Au1'])
      return authorizationOf('/connections/u1/slack')
    }
    expect(await press('break')).toMatchObject({
      status: 'error',
      access_token: '',
      error_code: 'emulated_error',
      error_message: expect.any(String),
    })
    const repaired = await press('repair')
    expect(repaired).toMatchObject({
      status: 'active',
      error_code: null,
      error_message: null,
      expires_in: expect.any(Number),
    })
    expect(repaired.access_token).toMatch(/^emulated-token-/)
    expect(await press('disable')).toBeNull()
    expect(await press('enable')).toMatchObject({ status: 'active', access_token: repaired.access_token })
  })

  test('enable sets up what was not set up, for the kind of owner that the form names', async () => {
    await start({ users: { acme: {} }, groups: { acme: {} } })
    const { headers } = await post('/connectors/a%2Fb', { kind: 'group', id: 'acme', action: 'enable' })
    expect(headers.location).toBe('/connectors/a%2Fb?changed=group%3Aacme')
    expect(await authorizationOf('/connections/acme/a%2Fb')).toBeNull()
    expect(await authorizationOf('/groups/acme/connections/a%2Fb')).toMatchObject({ status: 'active' })
  })

  test('lead to a page that tells how the connection is then, of nobody else and of no other page', async () => {
    await start({ users: { u1: {}, u2: {} }, groups: { u1: {} } })
    const news = async path =>
      Array.from((await ask(path)).text.matchAll(/<p role="status".*?>(.*)<\/p>/g), ([, text]) =>
        text.replace(/<[^>]+>/g, ''),
      )
    const { headers } = await post('/connectors/slack', { kind: 'user', id: 'u1', action: 'enable' })
    expect(await news(headers.location)).toEqual(['Slack for user u1: now active'])
    emulator.setConnection('u1', 'slack', { status: 'error' })
    expect(await news(headers.location)).toEqual(['Slack for user u1: now needs repair'])
    for (const path of ['/', '/connectors/slack', '/connectors/slack?changed=user:nobody']) {
      expect(await news(path)).toEqual([])
    }
  })

  test('enabling what was broken before it was disabled gives a healthy connection', async () => {
    await start({ users: { u1: { slack: { enabled: false, status: 'error', errorCode: 'gone' } } } })
    await post('/connectors/slack', { kind: 'user', id: 'u1', action: 'enable' })
    expect(await authorizationOf('/connections/u1/slack')).toMatchObject({
      status: 'active',
      error_code: null,
    })
  })

  test.each([
    [404, { kind: 'user', id: 'nobody', action: 'enable' }],
    [400, { kind: 'company', id: 'u1', action: 'enable' }],
    [400, { kind: 'user', id: 'u1', action: 'explode' }],
    [400, {}],
    [413, { kind: 'user', id: 'u1', action: 'enable', filler: 'x'.repeat(20_000) }],
  ])('a form that cannot be meant is answered %d and changes nothing', async (status, form) => {
    await start({ users: { u1: {} } })
    expect((await post('/connectors/slack', form)).status).toBe(status)
    expect(await authorizationOf('/connections/u1/slack')).toBeNull()
  })

  test('a post from another origin is refused', async () => {
    await start({ users: { u1: { slack: {} } } })
    const { port } = new URL(emulator.catalogUrl)
    const form = { kind: 'user', id: 'u1', action: 'disable' }
    for (const headers of [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: 'http://127.0.0.1:1' },
      { origin: `https://127.0.0.1:${port}` },
      { origin: `http://localhost:${port}` },
    ]) {
      expect([headers, (await post('/connectors/slack', form, headers)).status]).toEqual([headers, 403])
    }
    expect(await authorizationOf('/connections/u1/slack')).toMatchObject({ status: 'active' })
  })

  test('a post from the page itself is accepted under each loopback name', async () => {
    await start({ users: { u1: { slack: {} } } })
    const { port } = new URL(emulator.catalogUrl)
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`, `127.1.2.3:${port}`]) {
      const form = { kind: 'user', id: 'u1', action: 'disable' }
      const { status } = await post('/connectors/slack', form, { host, origin: `http://${host}` })
      expect(status).toBe(303)
    }
  })
})

describe('what the pages must not do', () => {
  const NASTY = `"><script>alert('1')</script>&amp;`

  test('no id, slug or message breaks out of its place', async () => {
    const state = { status: 'error', errorCode: NASTY, errorMessage: NASTY }
    await start({ users: { [NASTY]: { [NASTY]: state } } })
    const slug = encodeURIComponent(NASTY)
    for (const path of ['/', `/connectors/${slug}`, `/connectors/${slug}?user=${slug}`]) {
      const { status, text } = await ask(path)
      expect(status).toBe(200)
      expect(text).toContain('&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;amp;')
      expect(text).not.toMatch(/<script/i)
    }
  })

  test('a page of a nasty id still has working links and forms', async () => {
    await start({ users: { [NASTY]: {} } })
    const slug = encodeURIComponent('a"b&c')
    const { text } = await ask(`/connectors/${slug}?user=${encodeURIComponent(NASTY)}`)
    const unescaped = html =>
      html.replace(
        /&(amp|lt|gt|quot|#39);/g,
        (_, name) => ({ amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" })[name],
      )
    const action = unescaped(text.match(/<form method="post" action="(.*?)">/)[1])
    const id = unescaped(text.match(/name="id" value="(.*?)"/)[1])
    expect(id).toBe(NASTY)
    const { status, headers } = await post(action, { kind: 'user', id, action: 'enable' })
    expect(status).toBe(303)
    expect(headers.location).toBe(`${action}&${new URLSearchParams({ changed: `user:${id}` })}`)
    expect(await authorizationOf(`/connections/${encodeURIComponent(NASTY)}/${slug}`)).toMatchObject({
      status: 'active',
    })
  })

  test('no page shows a token, and none may be framed, cached or run a script', async () => {
    await start({ users: { u1: { slack: { accessToken: 'xoxb-given' } } } })
    const madeUp = emulator.rotateToken('u1', 'slack')
    emulator.setConnection('u2', 'slack', { accessToken: 'xoxb-given' })
    for (const path of ['/', '/connectors/slack', '/connectors/slack?user=u1']) {
      const { text, headers } = await ask(path)
      expect(text).not.toContain(madeUp)
      expect(text).not.toContain('xoxb-given')
      expect(headers['content-security-policy']).toMatch(/^default-src 'none'.*frame-ancestors 'none'$/)
      expect(headers['cache-control']).toBe('no-store')
    }
  })

  test('the one style on the page is the one that its policy names', async () => {
    await start()
    const { text, headers } = await ask('/')
    const style = text.match(/<style>(.*)<\/style>/s)[1]
    const digest = require('node:crypto').createHash('sha256').update(style).digest('base64')
    expect(headers['content-security-policy']).toContain(`style-src 'sha256-${digest}'`)
    expect(text).not.toMatch(/\sstyle=/)
  })

  test('no page load or click is an API request', async () => {
    await start({ users: { u1: { slack: {} } } })
    await ask('/')
    await ask('/connectors/slack')
    await post('/connectors/slack', { kind: 'user', id: 'u1', action: 'disable' })
    expect(emulator.requests).toEqual([])
  })

  test('a visitor who leaves in the middle of a form does not disturb the emulator', async () => {
    await start({ users: { u1: {} } })
    const { hostname, port } = new URL(emulator.catalogUrl)
    await new Promise(resolve => {
      const request = http.request({
        hostname,
        port,
        path: '/connectors/slack',
        method: 'POST',
        agent: false,
        // The interim answer shows that the emulator has begun to read.
        headers: { 'content-length': 100, expect: '100-continue' },
      })
      request.on('error', () => {})
      request.on('close', resolve)
      request.on('continue', () => request.destroy())
      request.flushHeaders()
    })
    expect((await ask('/')).status).toBe(200)
  })
})

describe('a catalog that is self-hosted in another layout', () => {
  const users = { u1: { 'a/b&c': { status: 'error' }, slack: { enabled: false } } }

  async function connectUrl(slug) {
    const { baseUrl, catalogUrl, publishableKey, secretKey } = emulator
    const xkit = new XkitClient({ baseUrl, catalogUrl, publishableKey, secretKey })
    const { connectUrl } = await xkit.getConnection('u1', slug)
    await xkit.close()
    return connectUrl
  }

  test.each([
    ['/{slug}', '/a%2Fb%26c'],
    ['/integrations/{slug}', '/integrations/a%2Fb%26c'],
    ['/integrations/{slug}/set-up?view=full', '/integrations/a%2Fb%26c/set-up?view=full'],
    ['/settings?tab={slug}&view=full', '/settings?tab=a%2Fb%26c&view=full'],
  ])('has the page of a connector at %s, where a click repairs it', async (catalogPath, path) => {
    await start({ users, catalogPath })
    const url = await connectUrl('a/b&c')
    const { origin } = new URL(emulator.baseUrl)

    expect(emulator.catalogUrl).toBe(origin + catalogPath)
    expect(url).toBe(origin + path)
    const page = await ask(path)
    expect(sections(page.text)).toEqual([
      { owner: 'user u1', state: 'needs repair', buttons: ['repair', 'disable'] },
    ])
    const action = page.text.match(/<form method="post" action="(.*?)"/)[1].replaceAll('&amp;', '&')
    const clicked = await post(action, { kind: 'user', id: 'u1', action: 'repair' })
    expect(clicked.status).toBe(303)
    expect(sections((await ask(clicked.headers.location)).text)).toMatchObject([{ state: 'active' }])
    expect(clicked.headers.location.startsWith(path)).toBe(true)
    expect((await ask('/connectors/a%2Fb%26c')).status).toBe(404)
  })

  test('behind a fragment, which reaches no server, has its first page there', async () => {
    await start({ users, catalogPath: '/settings#/connectors/{slug}' })
    const { origin } = new URL(emulator.baseUrl)

    expect(await connectUrl('slack')).toBe(`${origin}/settings#/connectors/slack`)
    const { status, text } = await ask('/settings')
    expect(status).toBe(200)
    const [, link] = text.match(/<a href="([^"]*slack[^"]*)"/)
    expect(sections((await ask(link)).text)).toMatchObject([{ owner: 'user u1', state: 'not enabled' }])
  })

  test('leads from its first page to its own pages', async () => {
    await start({ users, catalogPath: '/integrations/{slug}' })

    expect((await ask('/')).text).toContain('href="/integrations/slack?user=u1"')
    expect((await ask('/connectors?slug=slack')).headers.location).toBe('/integrations/slack')
  })

  test.each([
    ['ERR_INVALID_ARG_TYPE', 7],
    ['ERR_INVALID_ARG_VALUE', ''],
    ['ERR_INVALID_ARG_VALUE', '/integrations'],
    ['ERR_INVALID_ARG_VALUE', '/{slug}/{slug}'],
    ['ERR_INVALID_ARG_VALUE', '/{slug}/{tab}'],
    ['ERR_INVALID_ARG_VALUE', 'integrations/{slug}'],
    ['ERR_INVALID_ARG_VALUE', '//host/{slug}'],
    ['ERR_INVALID_ARG_VALUE', 'https://acme.com/{slug}'],
    ['ERR_INVALID_ARG_VALUE', '/a b/{slug}'],
    ['ERR_INVALID_ARG_VALUE', '/a/../{slug}'],
    ['ERR_INVALID_ARG_VALUE', '/my-{slug}'],
    ['ERR_INVALID_ARG_VALUE', '/settings?tab=my-{slug}'],
    ['ERR_INVALID_ARG_VALUE', '/api/platform/{slug}'],
    ['ERR_INVALID_ARG_VALUE', '/service/{slug}'],
  ])('is refused with %s for the path %j', async (code, catalogPath) => {
    await start()
    const failed = await startEmulator({ catalogPath }).catch(error => error)

    expect(failed).toMatchObject({
      name: 'TypeError',
      code,
      message: expect.stringMatching(/catalogPath must /),
    })
  })
})
