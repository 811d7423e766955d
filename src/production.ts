/** Imported before everything else: libraries read NODE_ENV at run time, and without it show stacks to clients. */
Bun.env['NODE_ENV'] ??= 'production'
