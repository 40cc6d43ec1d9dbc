module.exports = {
  target: 'node',
  entry: './app.js',
  externals: { 'xkit-node': 'commonjs xkit-node' },
}
