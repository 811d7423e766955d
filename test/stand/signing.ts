/** A throw-away OpenPGP key by GnuPG, in the keyring files that Helm signs and verifies with. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runOrThrow } from './child.ts'
import { need } from './programs.ts'
import { openTempDir } from './temp-dir.ts'

export interface SigningKey extends AsyncDisposable {
  /** For `helm package`: `--sign --key … --keyring …`. */
  readonly signArgs: readonly string[]
  /** The public keyring: `helm pull --verify --keyring FILE`. */
  readonly publicKeyring: string
}

/** Exported files, because Helm reads GnuPG's old keyring format and GnuPG no longer keeps it. */
export async function openSigningKey(): Promise<SigningKey> {
  await using stack = new AsyncDisposableStack()
  const temp = stack.use(await openTempDir())
  const env = { GNUPGHOME: temp.path }
  const gpg = (...args: readonly string[]): Promise<unknown> => {
    return runOrThrow([need('gpg'), '--batch', '--no-tty', '--quiet', ...args], { env, cwd: temp.path })
  }
  // GnuPG leaves an agent behind that would outlive the directory.
  stack.defer(async () => {
    await runOrThrow([need('gpgconf'), '--kill', 'all'], { env })
  })
  const name = 'Chart Signer'
  // No passphrase: Helm would ask for it on a terminal. RSA: the oldest Helm knows nothing newer.
  const request = `%no-protection\nKey-Type: RSA\nKey-Length: 2048\nName-Real: ${name}\nExpire-Date: 1d\n%commit\n`
  await writeFile(join(temp.path, 'request'), request)
  await gpg('--generate-key', 'request')
  await gpg('--export-secret-keys', '--output', 'secret.gpg')
  await gpg('--export', '--output', 'public.gpg')
  const owned = stack.move()
  return {
    signArgs: ['--sign', '--key', name, '--keyring', join(temp.path, 'secret.gpg')],
    publicKeyring: join(temp.path, 'public.gpg'),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
