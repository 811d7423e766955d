/**
 * A request written byte for byte, so that no client library repairs its path or its headers on the way.
 *
 * Reads one answer and closes: framing by Content-Length, by chunks or by the end of the connection.
 */

export interface RawAnswer {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** Everything behind the head, chunk framing included. */
  readonly body: string
  /** The whole answer as it came. */
  readonly text: string
}

/** Sends `bytes` to `host` (`127.0.0.1:41234`) and resolves when the other side closed the connection. */
export async function sendRaw(host: string, bytes: string | Uint8Array): Promise<RawAnswer> {
  const [hostname = '', port = ''] = host.split(':')
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  const received: Buffer[] = []
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data(_socket, chunk) {
        received.push(Buffer.from(chunk))
      },
      close: () => resolve(),
      error: () => resolve(),
    },
  })
  socket.write(bytes)
  await closed
  const text = Buffer.concat(received).toString('latin1')
  const headEnd = text.indexOf('\r\n\r\n')
  const [statusLine = '', ...lines] = text.slice(0, Math.max(0, headEnd)).split('\r\n')
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(':')
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim()
  }
  return { status: Number(statusLine.split(' ')[1] ?? 0), headers, body: text.slice(headEnd + 4), text }
}

/** GET (or another method) of a path that is sent as it is, with `Connection: close` and a good Host. */
export function requestRaw(
  host: string,
  path: string | Uint8Array,
  options: { readonly method?: string; readonly headers?: readonly string[] } = {},
): Promise<RawAnswer> {
  const headers = [`Host: ${host}`, 'Connection: close', ...(options.headers ?? [])]
  return sendRaw(
    host,
    Buffer.concat([
      Buffer.from(`${options.method ?? 'GET'} `),
      Buffer.from(path),
      Buffer.from(` HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`),
    ]),
  )
}
