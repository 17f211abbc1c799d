/**
 * Waiting that ends: a finalizer cannot be interrupted, so none of its steps may take for ever.
 */

/** How long what is closed may take to say goodbye, in milliseconds. */
export const politeMillis = 1000

export const settled = (promise: Promise<unknown>): Promise<unknown> => promise.then(() => undefined, () => undefined)

/** `undefined` when it took longer. */
export const atMost = <A>(millis: number, promise: Promise<A>): Promise<A | undefined> => {
  let timer: NodeJS.Timeout
  const limit = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), millis)
  })
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer))
}
