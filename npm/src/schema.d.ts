/** A validator that implements https://standardschema.dev: zod, valibot, arktype and others. */
export interface StandardSchema<Output = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (
      value: unknown,
    ) => { readonly value: Output; readonly issues?: undefined } | { readonly issues: readonly unknown[] } | Promise<unknown>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
  };
}

/** A JSON schema, as a plain object. */
export type JsonSchema = { readonly [key: string]: unknown } & { readonly "~standard"?: never };

/** A JSON schema, a validator that provides its own JSON schema, or an object with a JSON schema and an optional validator. */
export type Schema<Output = unknown> =
  | JsonSchema
  | StandardSchema<Output>
  | { readonly jsonSchema: JsonSchema; readonly validator?: StandardSchema<Output>; readonly name?: string };

/** The output type of a schema's validator; `unknown` for a plain JSON schema, and `undefined` without a schema. */
export type InferOutput<S> = S extends { _zod: { output: any } }
  ? // As `z.infer` is defined, so that the two are the same type where `S` is a type parameter.
    S["_zod"]["output"]
  : S extends undefined
    ? undefined
    : S extends { readonly "~standard": { readonly types?: infer T } }
      ? NonNullable<T> extends { readonly output: infer O }
        ? O
        : unknown
      : S extends { readonly validator: infer V }
        ? InferOutput<V>
        : unknown;
