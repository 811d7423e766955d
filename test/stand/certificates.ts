/** Certificates by the openssl program: a private CA with a server certificate for 127.0.0.1, and a token signer's. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runOrThrow } from './child.ts'
import { need } from './programs.ts'

export interface ServerCertificate {
  /** The CA's certificate: what a client has to trust. */
  readonly caFile: string
  readonly certFile: string
  readonly keyFile: string
}

/** Writes a new private CA and a certificate it signed for 127.0.0.1 and localhost into `dir`. */
export async function makeServerCertificate(dir: string): Promise<ServerCertificate> {
  const at = (name: string): string => join(dir, name)
  const openssl = (...args: readonly string[]): Promise<unknown> => runOrThrow([need('openssl'), ...args], { cwd: dir })
  await openssl(...newKey('ca.key'), '-x509', '-days', '2', '-subj', '/CN=Test CA', '-out', 'ca.pem')
  await openssl(...newKey('server.key'), '-subj', '/CN=127.0.0.1', '-out', 'server.csr')
  await writeFile(at('server.ext'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n')
  await openssl(
    ...['x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-set_serial', '2'],
    ...['-days', '2', '-extfile', 'server.ext', '-out', 'server.pem'],
  )
  return { caFile: at('ca.pem'), certFile: at('server.pem'), keyFile: at('server.key') }
}

export interface Signer {
  readonly certFile: string
  readonly keyFile: string
}

/** Writes an RSA key (RS256 wants one) and its self-signed certificate into `dir`. */
export async function makeSigner(dir: string): Promise<Signer> {
  const signer = { certFile: join(dir, 'signer.pem'), keyFile: join(dir, 'signer.key') }
  await runOrThrow([
    ...[need('openssl'), 'req', '-newkey', 'rsa:2048', '-nodes', '-keyout', signer.keyFile],
    ...['-x509', '-days', '2', '-subj', '/CN=Test token server', '-out', signer.certFile],
  ])
  return signer
}

function newKey(file: string): string[] {
  return ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file]
}
