// Owns the one assertion of the type tests: that a value has exactly a type, where assignability would let `any` pass.

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/** `exactly<string>()(value)` compiles only if `value` is a `string` and nothing wider, narrower or looser. */
export function exactly<Expected>() {
  return <Actual>(_value: Actual, ..._mismatch: Same<Expected, Actual> extends true ? [] : [never]) => {}
}
