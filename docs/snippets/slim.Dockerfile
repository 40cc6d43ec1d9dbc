FROM node:22-slim
WORKDIR /app
COPY package.json package-lock.json *.tgz ./
RUN npm ci --omit=dev
COPY . .
USER node
CMD ["node", "app.js"]
