/** The look-out for leaks sees what it has to see. */
import { expect, test } from 'bun:test'
import { declareSecret, encodeBasic, findSecrets, OTHER_PASSWORD, PASSWORD, USER } from './secrets.ts'

test('findSecrets finds a password as it is, in a URL and in an Authorization header', () => {
  expect(findSecrets(`password ${PASSWORD}!`)).toEqual([PASSWORD])
  expect(findSecrets(`?password=${encodeURIComponent(OTHER_PASSWORD)}&`)).toEqual([encodeURIComponent(OTHER_PASSWORD)])
  expect(findSecrets(`"Basic ${encodeBasic(USER, PASSWORD)}"`)).toEqual([encodeBasic(USER, PASSWORD)])
})

test('findSecrets finds a token that was declared, and nothing in a clean text', () => {
  const token = `declared-${crypto.randomUUID()}`
  expect(findSecrets(token)).toEqual([])
  declareSecret(token)
  expect(findSecrets(`Bearer ${token}`)).toEqual([token])
  expect(findSecrets(`anonymous, ${USER}, secret, password`)).toEqual([])
})
