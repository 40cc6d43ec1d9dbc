// Owns the proof that the emulator's catalog works in a real browser: by mouse, by keyboard, in both colour schemes.
'use strict'

const { XkitClient } = require('xkit-node')
const { startEmulator } = require('xkit-node/emulator')
const { startChromium } = require('./chromium.js')
const { look } = require('./look.js')
const { openPage } = require('./page.js')

/** What WCAG asks for: of text, and of the ring around what has the focus. */
const READABLE = 4.5
const NOTICEABLE = 3

/** Owners in all states; the long ones have nowhere to break. */
const LONG = 'x'.repeat(300)
const SEEDS = {
  users: {
    u1: { slack: { enabled: false, accessToken: 'xoxb-given' } },
    u2: { slack: {}, github: { enabled: false } },
    u3: { slack: { status: 'error', errorCode: 'revoked', errorMessage: 'The user removed the app' } },
    [LONG]: { [LONG]: {}, slack: { status: 'error', errorCode: LONG, errorMessage: LONG } },
  },
  groups: { acme: {} },
  contexts: { c1: { slack: { status: 'awaiting_callback' } } },
}
const PAGES = [
  '/',
  '/connectors/slack',
  '/connectors/slack?user=u1&changed=user:u1',
  '/connectors/slack?user=nobody',
]

let browser
let emulator
let xkit
let page

jest.setTimeout(30_000)

beforeAll(async () => {
  browser = await startChromium()
})
afterAll(() => browser?.close())

beforeEach(async () => {
  page = await openPage(browser)
  await start(SEEDS)
})
afterEach(async () => {
  const { complaints, requests } = page
  await page.close()
  await stop()
  expect(complaints).toEqual([])
  expect(requests.filter(url => !url.startsWith(`${emulator.catalogUrl}/`) && url !== 'data:,')).toEqual([])
})

async function start(seeds) {
  emulator = await startEmulator(seeds)
  const { baseUrl, catalogUrl, publishableKey, secretKey } = emulator
  xkit = new XkitClient({ baseUrl, catalogUrl, publishableKey, secretKey })
}

async function stop() {
  await xkit.close()
  await emulator.close()
}

const visit = path => page.open(emulator.catalogUrl + path)

/** Goes where a backend would send this user, who has no token now. */
async function visitToConnect(user, status) {
  const connection = await xkit.getConnection(user, 'slack')
  expect(connection.status).toBe(status)
  await page.open(connection.connectUrl)
}

describe('a person with a mouse', () => {
  test('enables a connection, and its token is there', async () => {
    await visitToConnect('u1', 'not_enabled')
    await page.click('button', 'enable slack for user u1')
    expect(await xkit.getAccessToken('u1', 'slack')).toBe('xoxb-given')
  })

  test('repairs a connection, and a new token is there', async () => {
    await visitToConnect('u3', 'needs_reauthorization')
    await page.click('button', 'repair slack for user u3')
    expect(await xkit.getAccessToken('u3', 'slack')).toMatch(/^emulated-token-/)
  })

  test('goes from the first page to a connection, and enables it', async () => {
    await visit('/')
    await page.click('link', 'Github github for user u2')
    await page.click('button', 'enable github for user u2')
    expect(await xkit.getAccessToken('u2', 'github')).toMatch(/^emulated-token-/)
  })

  test('breaks and disables a connection, for tests of what happens then', async () => {
    await visit('/connectors/slack')
    await page.click('button', 'break slack for user u2')
    await expect(xkit.getAccessToken('u2', 'slack')).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_XKIT_NEEDS_REAUTHORIZATION' }),
    )
    await page.click('button', 'disable slack for user u2')
    await expect(xkit.getAccessToken('u2', 'slack')).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_XKIT_NOT_ENABLED' }),
    )
  })
})

describe('a person with a keyboard alone', () => {
  /** Presses Tab until there, and sees at each stop where that is. */
  async function tabTo(name) {
    for (let stops = 0; stops < 20; stops++) {
      await page.press('Tab')
      expect((await page.run(look)).ring).toBeGreaterThanOrEqual(NOTICEABLE)
      if ((await page.focused()).name === name) return
    }
    throw new Error(`Tab does not lead to ${name}`)
  }

  test.each([
    ['Enter', 'light'],
    ['Space', 'dark'],
  ])('enables and repairs with %s, and sees the focus in %s colours', async (key, scheme) => {
    await page.prefer(scheme)
    await visitToConnect('u1', 'not_enabled')
    await tabTo('enable slack for user u1')
    await page.pressAndFollow(key)
    expect(await xkit.getAccessToken('u1', 'slack')).toBe('xoxb-given')

    await visitToConnect('u3', 'needs_reauthorization')
    await tabTo('repair slack for user u3')
    await page.pressAndFollow(key)
    expect(await xkit.getAccessToken('u3', 'slack')).toMatch(/^emulated-token-/)
  })

  test('hears what came of it, and goes on from there', async () => {
    await visit('/connectors/slack')
    await tabTo('enable slack for user u1')
    await page.pressAndFollow('Enter')
    expect((await page.focused()).role).toBe('status')
    expect(await page.run(() => document.activeElement.textContent)).toBe('Slack for user u1: now active')
    await page.press('Tab')
    expect(await page.focused()).toEqual({ role: 'button', name: 'disable slack for user u1' })
  })

  test('opens a connector by its slug', async () => {
    await visit('/')
    await tabTo('Open a connector by its slug')
    await page.type('jira')
    await page.pressAndFollow('Enter')
    expect(await page.run(() => location.pathname)).toBe('/connectors/jira')
  })
})

describe.each(PAGES)('the page %s', path => {
  test.each(['light', 'dark'])('can be read in %s colours', async scheme => {
    await page.prefer(scheme)
    await visit(path)
    const { texts, luminance } = await page.run(look)
    expect(texts.length).toBeGreaterThan(5)
    expect(texts.filter(({ contrast }) => contrast < READABLE)).toEqual([])
    expect(luminance > 0.5).toBe(scheme === 'light')
  })

  test('fits a screen of 320 pixels', async () => {
    await page.resize(320, 640)
    await visit(path)
    expect(await page.run(() => document.documentElement.scrollWidth)).toBe(320)
  })

  test('has a title, a language, landmarks, one main heading and a name for all that can be used', async () => {
    await visit(path)
    expect(await page.run(() => document.title)).toMatch(/^\S.* · Xkit emulator$/)
    expect(await page.run(() => document.documentElement.lang)).toBe('en')
    expect(await page.run(() => document.querySelectorAll('h1').length)).toBe(1)
    const parts = await page.parts()
    const named = role => parts.filter(part => part.role === role).map(({ name }) => name)
    expect([named('banner'), named('main')]).toEqual([[''], ['']])
    for (const names of ['button', 'textbox', 'link'].map(named)) {
      expect(names).not.toContain('')
      expect(new Set(names).size).toBe(names.length)
    }
  })
})

test.each(['light', 'dark'])('buttons under the mouse can be read in %s colours', async scheme => {
  await page.prefer(scheme)
  await visit('/connectors/slack')
  for (const name of ['enable slack for user u1', 'break slack for user u2']) {
    const before = await page.run(look)
    await page.hover('button', name)
    const { texts } = await page.run(look)
    expect(texts.filter(({ contrast }) => contrast < READABLE)).toEqual([])
    expect(before.texts.length).toBe(texts.length)
  }
})

test('the page of an emulator without owners can be read', async () => {
  await stop()
  await start({})
  await visit('/')
  const { texts } = await page.run(look)
  expect(texts.filter(({ contrast }) => contrast < READABLE)).toEqual([])
})
