/** nginx as one process, serving files with fixed headers: what any server of static bytes is held against. */
import { join } from 'node:path'
import { openChild } from '../test/stand/child.ts'
import { need } from '../test/stand/programs.ts'
import { openTempDir } from '../test/stand/temp-dir.ts'
import { waitFor } from '../test/stand/wait-for.ts'
import { findFreePort, isListening } from './quiet-registry.ts'

export interface StaticFile {
  /** Letters, digits and hyphens. */
  readonly name: string
  readonly bytes: Uint8Array
  readonly contentType: string
  readonly contentEncoding?: string
}

export interface Nginx extends AsyncDisposable {
  /** The file `name` is at `${url}/name`. */
  readonly url: string
}

export async function openNginx(files: readonly StaticFile[]): Promise<Nginx> {
  await using stack = new AsyncDisposableStack()
  const { path } = stack.use(await openTempDir())
  const port = await findFreePort()
  for (const { name, bytes } of files) await Bun.write(join(path, name), bytes)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  // sendfile and tcp_nopush as distributions ship it; a master process would only add a second one.
  await Bun.write(
    join(path, 'nginx.conf'),
    `daemon off; master_process off; worker_processes 1;
pid ${path}/nginx.pid; error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
  ${temporary.map((name) => `${name}_temp_path ${path}/temporary;`).join(' ')}
  server {
    listen 127.0.0.1:${port}; root ${path};
    ${files.map(toLocation).join('\n    ')}
  }
}
`,
  )
  stack.use(openChild([need('nginx'), '-p', path, '-e', 'stderr', '-c', join(path, 'nginx.conf')]))
  await waitFor('nginx', () => isListening(`http://127.0.0.1:${port}/`))
  const owned = stack.move()
  return { url: `http://127.0.0.1:${port}`, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

function toLocation({ name, contentType, contentEncoding }: StaticFile): string {
  const encoding = contentEncoding === undefined ? '' : ` add_header Content-Encoding ${contentEncoding};`
  return `location = /${name} { types { } default_type ${contentType};${encoding} }`
}
