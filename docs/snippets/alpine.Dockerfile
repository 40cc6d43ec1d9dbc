FROM node:22-alpine AS packages
WORKDIR /app
COPY package.json package-lock.json *.tgz ./
RUN npm ci --omit=dev

FROM node:22-alpine
WORKDIR /app
COPY --from=packages /app/node_modules ./node_modules
COPY . .
USER node
CMD ["node", "app.js"]
