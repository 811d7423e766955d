/**
 * An HTTP/1.1 server over raw TCP that sends exactly what it is told, also what no honest server would: a body shorter
 * than its Content-Length, silence, a connection closed in the middle.
 *
 * Bun.serve cannot be used for this: it replaces a false Content-Length by the true one (measured with Bun 1.4.5), so
 * a truncated body would arrive as a whole one. The wire knows HTTP framing and nothing of registries.
 *
 * Invariant: requests of one connection are answered in order, and the handler sees each request once.
 */

const headEnd = Buffer.from('\r\n\r\n')
/** Requests of a registry client have heads of a few hundred bytes; bearer tokens are the large part of them. */
const maxHeadBytes = 64 * 1024
/** The only request bodies are forms for the token endpoint. */
const maxBodyBytes = 64 * 1024
/** First byte of a TLS record that holds a handshake: somebody tries HTTPS. */
const tlsHandshake = 0x16

export interface WireRequest {
  readonly method: string
  /** Path and query, byte for byte as they came. */
  readonly target: string
  /** Names in lower case; a header that came twice is joined with `, `. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface WireReply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** How the end of the body is told: by Content-Length (default), by chunks, or only by closing the connection. */
  readonly framing?: 'length' | 'chunked' | 'close'
  /** Only so many bytes of the body are sent. The head still promises all of them. */
  readonly sendBytes?: number
  /** What follows a body that was cut: the connection is closed (default), or stays open and silent. */
  readonly afterCut?: 'close' | 'silence'
}

/** `reset` closes without one byte of an answer; `silence` keeps the connection open and says nothing. */
export type WireAnswer = WireReply | 'reset' | 'silence'

export interface Wire extends AsyncDisposable {
  /** `127.0.0.1:41234`; the same after a stop and a start. */
  readonly host: string
  readonly origin: string
  /** Connections that began with a TLS handshake; they were closed without an answer. */
  readonly tlsAttempts: () => number
  /** Closes the listener and every connection: whoever connects now is refused. */
  readonly stop: () => void
  /** Listens on the same port again. */
  readonly start: () => void
}

export interface WireHandler {
  /** May take its time, and must not throw. */
  readonly answer: (request: WireRequest) => WireAnswer | Promise<WireAnswer>
  /** Bytes came that are no request; the connection gets a 400 and ends. */
  readonly onMalformed: (bytes: string) => void
}

interface Connection {
  received: Buffer
  /** Bytes that the socket did not take yet. */
  unsent: Buffer
  closeWhenSent: boolean
  busy: boolean
}

type WireSocket = Bun.Socket<Connection>

/** Opens a wire on a free port of the loopback address. */
export function openBrokenWire(handler: WireHandler): Wire {
  let tlsAttempts = 0

  const listen = (port: number) =>
    Bun.listen<Connection>({
      hostname: '127.0.0.1',
      port,
      socket: {
        open(socket) {
          socket.data = { received: Buffer.alloc(0), unsent: Buffer.alloc(0), closeWhenSent: false, busy: false }
        },
        async data(socket, bytes) {
          const connection = socket.data
          if (connection.received.length === 0 && !connection.busy && bytes[0] === tlsHandshake) {
            tlsAttempts++
            socket.terminate()
            return
          }
          connection.received = Buffer.concat([connection.received, bytes])
          await answerReceived(socket, handler)
        },
        drain: flush,
        error: (socket) => {
          // A client that went away is no fault of the server; what it got is for the test to judge.
          socket.terminate()
        },
      },
    })

  let listener: Bun.TCPSocketListener<Connection> | undefined = listen(0)
  const port = listener.port
  const stop = () => {
    listener?.stop(true)
    listener = undefined
  }
  return {
    host: `127.0.0.1:${port}`,
    origin: `http://127.0.0.1:${port}`,
    tlsAttempts: () => tlsAttempts,
    stop,
    start: () => {
      listener ??= listen(port)
    },
    [Symbol.asyncDispose]: async () => stop(),
  }
}

async function answerReceived(socket: WireSocket, handler: WireHandler): Promise<void> {
  const connection = socket.data
  // The call that is busy takes what arrives meanwhile in its next round.
  if (connection.busy) return
  connection.busy = true
  try {
    while (true) {
      const parsed = takeRequest(connection)
      if (parsed === undefined) return
      if (parsed === 'malformed') {
        handler.onMalformed(connection.received.toString('latin1', 0, 200))
        return refuse(socket)
      }
      const answer = await handler.answer(parsed)
      if (answer === 'silence') return
      if (answer === 'reset') return void socket.terminate()
      send(socket, parsed.method, answer)
      if (connection.closeWhenSent) return
      if (answer.afterCut === 'silence') return
    }
  } finally {
    connection.busy = false
  }
}

function takeRequest(connection: Connection): WireRequest | 'malformed' | undefined {
  const { received } = connection
  const end = received.indexOf(headEnd)
  if (end === -1) return received.length > maxHeadBytes ? 'malformed' : undefined
  const [requestLine = '', ...headerLines] = received.toString('latin1', 0, end).split('\r\n')
  const [, method, target] = /^([A-Z]+) (\S+) HTTP\/1\.1$/.exec(requestLine) ?? []
  if (method === undefined || target === undefined) return 'malformed'
  const headers: Record<string, string> = {}
  for (const line of headerLines) {
    const [, name, value] = /^([^\s:]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? []
    if (name === undefined || value === undefined) return 'malformed'
    const key = name.toLowerCase()
    const earlier = headers[key]
    headers[key] = earlier === undefined ? value : `${earlier}, ${value}`
  }
  // No client of a read-only registry has a reason to send chunks.
  if (headers['transfer-encoding'] !== undefined) return 'malformed'
  const bodyBytes = Number(headers['content-length'] ?? 0)
  if (!Number.isInteger(bodyBytes) || bodyBytes < 0 || bodyBytes > maxBodyBytes) return 'malformed'
  const bodyStart = end + headEnd.length
  if (received.length < bodyStart + bodyBytes) return undefined
  connection.received = received.subarray(bodyStart + bodyBytes)
  return { method, target, headers, body: received.toString('utf8', bodyStart, bodyStart + bodyBytes) }
}

function refuse(socket: WireSocket): void {
  send(socket, 'GET', { status: 400, headers: { connection: 'close' }, framing: 'close' })
}

function send(socket: WireSocket, method: string, reply: WireReply): void {
  const body = Buffer.from(reply.body ?? '')
  const framing = reply.framing ?? 'length'
  const bodiless = reply.status === 204 || reply.status === 304
  const lines = [`HTTP/1.1 ${reply.status} scripted`]
  for (const [name, value] of Object.entries(reply.headers ?? {})) lines.push(`${name}: ${value}`)
  if (framing === 'length' && !bodiless) lines.push(`content-length: ${body.length}`)
  if (framing === 'chunked') lines.push('transfer-encoding: chunked')
  if (framing === 'close') lines.push('connection: close')
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')

  const cut = reply.sendBytes !== undefined && reply.sendBytes < body.length
  const sent = cut ? body.subarray(0, reply.sendBytes) : body
  const parts = [head]
  if (method !== 'HEAD' && !bodiless) {
    if (framing === 'chunked') {
      if (sent.length > 0) parts.push(Buffer.from(`${sent.length.toString(16)}\r\n`), sent, Buffer.from('\r\n'))
      if (!cut) parts.push(Buffer.from('0\r\n\r\n'))
    } else parts.push(sent)
  }
  const connection = socket.data
  connection.unsent = Buffer.concat([connection.unsent, ...parts])
  connection.closeWhenSent = framing === 'close' || (cut && reply.afterCut !== 'silence')
  flush(socket)
}

function flush(socket: WireSocket): void {
  const connection = socket.data
  const written = socket.write(connection.unsent)
  // Negative: the socket is gone, and with it whoever waited for the rest.
  connection.unsent = written < 0 ? Buffer.alloc(0) : connection.unsent.subarray(written)
  if (connection.unsent.length === 0 && connection.closeWhenSent) socket.end()
}
