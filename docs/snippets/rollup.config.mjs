export default {
  input: 'app.mjs',
  external: ['xkit-node'],
  output: { file: 'dist/app.mjs', format: 'es' },
}
