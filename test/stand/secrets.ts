/**
 * The credentials of the tests, distinctive enough that finding one in a log can only mean a leak.
 * Tokens made while a test runs join through `declareSecret`.
 */

/** The account every protected test registry knows. */
export const USER = 'robot-alice'
export const PASSWORD = 'Sup3rS3cretPassw0rd-1'

/** A second account, for rotation: the registry knows it too. */
export const OTHER_USER = 'robot-bob'
export const OTHER_PASSWORD = 'Sup3rS3cret:Passw0rd-2'

/** Known to no registry: for refusals. */
export const WRONG_PASSWORD = 'Wr0ngS3cretPassw0rd-3'

/** What the token server takes as `refresh_token` (an `identitytoken` of a credentials file). */
export const IDENTITY_TOKEN = 'Id3ntityS3cretT0ken-4'

/** The signature of a presigned address, as object storage gives it to whoever may read a blob. */
export const SIGNATURE = 'S1gnatur30fAPres1gnedAddr3ss-5'

export const SECRETS: readonly string[] = [PASSWORD, OTHER_PASSWORD, WRONG_PASSWORD, IDENTITY_TOKEN, SIGNATURE]

/** Users whose `base64(user:password)` is a secret as well. */
const USERS: readonly string[] = [USER, OTHER_USER, '<token>', '']

const declared = new Set<string>()

/** Makes `findSecrets` look for `secret` from now on, in this process (for tokens issued during a test). */
export function declareSecret(secret: string): void {
  declared.add(secret)
}

/** The value of an Authorization header without its scheme, and the `auth` of a credentials file. */
export function encodeBasic(user: string, password: string): string {
  return Buffer.from(`${user}:${password}`).toString('base64')
}

/** Every secret that occurs in `text`: plain, URL-encoded, or as base64 of `user:password`. Empty when it is clean. */
export function findSecrets(text: string): string[] {
  return [...spellings()].filter((spelling) => text.includes(spelling))
}

function* spellings(): Generator<string> {
  for (const secret of [...SECRETS, ...declared]) {
    yield secret
    if (encodeURIComponent(secret) !== secret) yield encodeURIComponent(secret)
    for (const user of USERS) yield encodeBasic(user, secret)
  }
}
