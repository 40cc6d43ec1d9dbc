// Preloaded into the snippets of the docs: what they ask of GitHub goes to the emulator's service.
const { fetch } = globalThis

globalThis.fetch = (input, init) =>
  fetch(String(input).replace('https://api.github.com', process.env.GITHUB_URL), init)
