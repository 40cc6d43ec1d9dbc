esbuild app.js --bundle --platform=node --external:xkit-node --outfile=dist/app.js
