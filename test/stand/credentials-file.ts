/** Credentials files (kubernetes.io/dockerconfigjson), also the way Kubernetes mounts and rotates them. */
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { encodeBasic } from './secrets.ts'

export interface Credential {
  readonly auth?: string
  readonly username?: string
  readonly password?: string
  readonly identitytoken?: string
  readonly registrytoken?: string
}

/** The usual spelling of a user's credential. */
export function basicCredential(user: string, password: string): Credential {
  return { auth: encodeBasic(user, password) }
}

/** Writes `DIR/credentials.json` with one credential for `key` and returns its path. */
export async function writeCredentials(dir: string, key: string, credential: Credential): Promise<string> {
  const path = join(dir, 'credentials.json')
  await writeFile(path, renderCredentials(key, credential))
  return path
}

export interface MountedCredentials {
  /** What the pod sees: `DIR/secret/dockerconfigjson`. */
  readonly path: string
  /** What the kubelet does when the Secret has changed. */
  rotate(key: string, credential: Credential): Promise<void>
}

/**
 * A Secret volume: the file is a link into `..data`, and `..data` is a link to the directory of the moment, which is
 * swapped by a rename. The file's own path and inode never change.
 */
export async function mountCredentials(dir: string, key: string, credential: Credential): Promise<MountedCredentials> {
  const volume = join(dir, 'secret')
  await mkdir(volume)
  let revision = 0
  const rotate = async (newKey: string, newCredential: Credential): Promise<void> => {
    revision += 1
    const name = `..revision-${revision}`
    await mkdir(join(volume, name))
    await writeFile(join(volume, name, 'dockerconfigjson'), renderCredentials(newKey, newCredential))
    await symlink(name, join(volume, '..data_tmp'))
    await rename(join(volume, '..data_tmp'), join(volume, '..data'))
  }
  await rotate(key, credential)
  await symlink(join('..data', 'dockerconfigjson'), join(volume, 'dockerconfigjson'))
  return { path: join(volume, 'dockerconfigjson'), rotate }
}

function renderCredentials(key: string, credential: Credential): string {
  return JSON.stringify({ auths: { [key]: credential } }, undefined, 2)
}
