/** A validator that implements https://standardschema.dev: zod, valibot, arktype and others. */
export interface StandardSchema<Output = unknown> {
  /** The properties of the standard. */
  readonly "~standard": StandardSchemaProps<Output>;
}

/** The properties of a `StandardSchema`. */
export interface StandardSchemaProps<Output = unknown> {
  /** The version of the standard. */
  readonly version: 1;
  /** The library that made the validator. */
  readonly vendor: string;
  /** Returns the validated value, or the issues that were found, or a promise of one of them. */
  readonly validate: (value: unknown) => StandardSchemaResult<Output> | Promise<unknown>;
  /** The types of the validator. They exist for the compiler alone. */
  readonly types?: StandardSchemaTypes<Output> | undefined;
}

/** The result of a `StandardSchema`: a value, or the issues that were found. */
export type StandardSchemaResult<Output = unknown> =
  | {
      /** The validated value. */
      readonly value: Output;
      /** Undefined, as there are no issues. */
      readonly issues?: undefined;
    }
  | {
      /** Why the value is not valid. */
      readonly issues: readonly unknown[];
    };

/** The types of a `StandardSchema`. */
export interface StandardSchemaTypes<Output = unknown> {
  /** The type of what is validated. */
  readonly input: unknown;
  /** The type of the validated value. */
  readonly output: Output;
}

/** A JSON schema, as a plain object. */
export type JsonSchema = { readonly [key: string]: unknown } & {
  /** Not present: an object that has this property is a `StandardSchema`. */
  readonly "~standard"?: never;
};

/** A JSON schema and an optional validator, for validators that provide no JSON schema of their own. */
export interface ValidatedSchema<Output = unknown> {
  /** The JSON schema that is sent. */
  readonly jsonSchema: JsonSchema;
  /** The validator of what the model wrote. Default: none. */
  readonly validator?: StandardSchema<Output>;
  /** The name of an `output`, which OpenAI shows to the model. Default: `"output"`. */
  readonly name?: string;
}

/** A JSON schema, a validator that provides its own JSON schema, or an object with both. */
export type Schema<Output = unknown> = JsonSchema | StandardSchema<Output> | ValidatedSchema<Output>;

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
