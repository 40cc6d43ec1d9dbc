export default { serverExternalPackages: ['xkit-node'] }
