// Owns one page of the browser as a person meets it: what can be read, clicked, reached by keys and seen.
'use strict'

const { withLimit } = require('./chromium.js')

const KEYS = {
  Tab: { key: 'Tab', code: 'Tab', windowsVirtualKeyCode: 9 },
  Enter: { key: 'Enter', code: 'Enter', windowsVirtualKeyCode: 13, text: '\r' },
  Space: { key: ' ', code: 'Space', windowsVirtualKeyCode: 32, text: ' ' },
}

async function openPage(browser) {
  const { send, on, close } = await browser.openPage()
  /** Addresses of all that the page asked for, and whatever the browser found wrong with it. */
  const requests = []
  const complaints = []
  let onLoad = () => {}

  const NOTES = {
    'Page.loadEventFired': () => onLoad(),
    'Network.requestWillBeSent': ({ request }) => requests.push(request.url),
    'Network.webSocketCreated': ({ url }) => requests.push(url),
    'Runtime.consoleAPICalled': ({ type, args }) =>
      complaints.push([type, ...args.map(({ value }) => value)]),
    'Runtime.exceptionThrown': ({ exceptionDetails }) => complaints.push(exceptionDetails),
    'Log.entryAdded': ({ entry }) => complaints.push(entry),
    'Audits.issueAdded': ({ issue }) => complaints.push(issue),
  }
  on((event, params) => NOTES[event]?.(params))
  for (const domain of ['Page', 'Network', 'Runtime', 'Log', 'Audits', 'DOM', 'Accessibility']) {
    await send(`${domain}.enable`)
  }

  /** Does what leads to another page, and waits until that is there and drawn: `autofocus` acts when a page is drawn. */
  async function leadingOn(act) {
    const loaded = withLimit('the next page', resolve => {
      onLoad = resolve
    })
    await Promise.all([loaded, act()])
    await run(() => new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve))))
  }

  /** What a function gives that runs in the page, and therefore sees nothing but its arguments. */
  async function run(f, ...args) {
    const expression = `(${f})(...${JSON.stringify(args)})`
    const { result, exceptionDetails } = await send('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    })
    if (exceptionDetails) throw new Error(exceptionDetails.exception.description)
    return result.value
  }

  /** What assistive technology is told of the page: role, name and element of each part. */
  async function parts() {
    const { nodes } = await send('Accessibility.getFullAXTree')
    return nodes
      .filter(({ ignored }) => !ignored)
      .map(({ role, name, backendDOMNodeId, properties = [] }) => ({
        role: role.value,
        name: name?.value ?? '',
        hasFocus: properties.some(property => property.name === 'focused' && property.value.value),
        backendNodeId: backendDOMNodeId,
      }))
  }

  async function centreOf(role, name) {
    const found = (await parts()).filter(part => part.role === role && part.name === name)
    if (found.length !== 1) throw new Error(`The page has the ${role} "${name}" ${found.length} times`)
    const [{ backendNodeId }] = found
    await send('DOM.scrollIntoViewIfNeeded', { backendNodeId })
    const { quads } = await send('DOM.getContentQuads', { backendNodeId })
    const [left, top, , , right, bottom] = quads[0]
    return { x: (left + right) / 2, y: (top + bottom) / 2 }
  }

  async function hover(role, name) {
    const place = await centreOf(role, name)
    await send('Input.dispatchMouseEvent', { type: 'mouseMoved', ...place })
    return place
  }

  async function click(role, name) {
    const click = { ...(await hover(role, name)), button: 'left', clickCount: 1 }
    await leadingOn(async () => {
      await send('Input.dispatchMouseEvent', { type: 'mousePressed', ...click })
      await send('Input.dispatchMouseEvent', { type: 'mouseReleased', ...click })
    })
  }

  async function press(name) {
    const { text, ...key } = KEYS[name]
    await send('Input.dispatchKeyEvent', { type: text ? 'keyDown' : 'rawKeyDown', text, ...key })
    await send('Input.dispatchKeyEvent', { type: 'keyUp', ...key })
  }

  /** The document itself has the focus too. */
  async function focused() {
    const { role, name } = (await parts()).findLast(({ hasFocus }) => hasFocus)
    return { role, name }
  }

  /** What the screen shows; `format` is `png`, which loses nothing, or the smaller `webp`. */
  async function screenshot(format) {
    const { data } = await send('Page.captureScreenshot', { format })
    return Buffer.from(data, 'base64')
  }

  return {
    requests,
    complaints,
    run,
    parts,
    hover,
    click,
    press,
    type: text => send('Input.insertText', { text }),
    pressAndFollow: name => leadingOn(() => press(name)),
    focused,
    screenshot,
    open: url => leadingOn(() => send('Page.navigate', { url })),
    /** `scheme` is `light` or `dark`. */
    prefer: scheme =>
      send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] }),
    resize: (width, height) =>
      send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false }),
    close,
  }
}

module.exports = { openPage }
