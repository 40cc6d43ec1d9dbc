// Owns the measure of what can be seen: `look` runs within the page and tells the contrasts as WCAG defines them.
'use strict'

/**
 * The contrast of each text with what is behind it, the luminance of the page, and the contrast of the ring around
 * what has the focus with what is around it (0 without a ring).
 */
function look() {
  const texts = []
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const { data, parentElement } = walker.currentNode
    if (data.trim() !== '' && parentElement.checkVisibility()) {
      texts.push({ text: data.trim(), contrast: contrast(getComputedStyle(parentElement), parentElement) })
    }
  }
  for (const field of document.querySelectorAll('[placeholder]')) {
    const style = getComputedStyle(field, '::placeholder')
    texts.push({ text: field.placeholder, contrast: contrast(style, field) })
  }
  const focused = document.activeElement
  const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(focused)
  const hasRing = outlineStyle === 'solid' && Number.parseFloat(outlineWidth) >= 2
  const ring = hasRing ? contrast({ color: outlineColor, opacity: '1' }, focused.parentElement) : 0
  return { texts, ring, luminance: luminance(behind(document.body)) }

  function contrast({ color, opacity }, element) {
    const [dark, light] = [luminance(opaque(color, opacity)), luminance(behind(element))].sort(
      (a, b) => a - b,
    )
    return (light + 0.05) / (dark + 0.05)
  }

  /** The first background that is not transparent. */
  function behind(element) {
    const { backgroundColor, opacity } = getComputedStyle(element)
    return backgroundColor === 'rgba(0, 0, 0, 0)' && element.parentElement
      ? behind(element.parentElement)
      : opaque(backgroundColor, opacity)
  }

  /** Mixed colours are not computed here, and the page needs none. */
  function opaque(color, opacity) {
    const channels = /^rgb\((\d+), (\d+), (\d+)\)$/.exec(color)
    if (!channels || opacity !== '1') throw new Error(`${color} with opacity ${opacity} cannot be measured`)
    return channels.slice(1).map(Number)
  }

  function luminance(channels) {
    const [red, green, blue] = channels
      .map(channel => channel / 255)
      .map(share => (share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
}

module.exports = { look }
