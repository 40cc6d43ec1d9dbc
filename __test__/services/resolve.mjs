// Lets the snippets of docs/ find the SDKs that are installed here.
export const resolve = (specifier, context, next) =>
  next(specifier, context).catch(() =>
    next(specifier, { ...context, parentURL: new URL('./package.json', import.meta.url).href }),
  )
