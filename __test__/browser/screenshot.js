// Owns the picture of the catalog in the docs: `node __test__/browser/screenshot.js` takes it anew, in both colours.
'use strict'

const { writeFileSync } = require('node:fs')
const path = require('node:path')
const { startEmulator } = require('xkit-node/emulator')
const { startChromium } = require('./chromium.js')
const { openPage } = require('./page.js')

const FILE = path.join(__dirname, '..', '..', 'docs', 'catalog.webp')
const WIDTH = 420
const HEIGHT = 590

const SEEDS = {
  users: {
    'some-user-id': { slack: { enabled: false } },
    'another-user-id': {
      slack: { status: 'error', errorCode: 'revoked', errorMessage: 'The app was removed' },
    },
  },
  groups: { acme: { slack: {} } },
}

async function main() {
  const emulator = await startEmulator(SEEDS)
  const browser = await startChromium()
  try {
    const page = await openPage(browser)
    await page.resize(WIDTH, HEIGHT)
    const pictures = []
    for (const scheme of ['light', 'dark']) {
      await page.prefer(scheme)
      await page.open(`${emulator.catalogUrl}/connectors/slack`)
      pictures.push((await page.screenshot('png')).toString('base64'))
    }
    await page.open('about:blank')
    await page.resize(2 * WIDTH, HEIGHT)
    await page.run(showSideBySide, pictures)
    writeFileSync(FILE, await page.screenshot('webp'))
  } finally {
    await browser.close()
    await emulator.close()
  }
}

/** Runs within the page. */
async function showSideBySide(pictures) {
  document.body.style = 'margin: 0; display: flex'
  const images = pictures.map(picture =>
    Object.assign(new Image(), { src: `data:image/png;base64,${picture}` }),
  )
  document.body.append(...images)
  await Promise.all(images.map(image => image.decode()))
}

main()
