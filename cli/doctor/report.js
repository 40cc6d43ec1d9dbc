// Owns the doctor's output: lines with a mark, the step's name and clean text.
'use strict'

const { clean } = require('../output.js')

const NAME_WIDTH = 'catalog URL'.length

/** One step's output. The doctor skips the steps that need one that failed. */
class Step {
  failed = false
  #name

  constructor(name) {
    this.#name = name
  }

  ok(text) {
    this.#print('ok  ', text)
  }

  /** `text` says what is wrong and what to do. */
  fail(text) {
    this.failed = true
    this.#print('FAIL', text)
  }

  skip(text) {
    this.#print('skip', text)
  }

  note(text) {
    this.#print('note', text)
  }

  #print(mark, text) {
    process.stdout.write(`${mark}  ${this.#name.padEnd(NAME_WIDTH)}  ${clean(text)}\n`)
  }
}

module.exports = { Step }
