/** Messages and their parts. */

/** How long Anthropic caches the prompt up to and including the part with this mark: five minutes or an hour. OpenAI caches automatically. */
export type CacheTtl = "5m" | "1h";

/** Bytes, a URL, a `data:` URL, or base64. */
export type Media = Uint8Array | ArrayBuffer | Blob | URL | string;

/** Text. */
export interface TextPart {
  /** Says that the part is text. */
  type: "text";
  /** The text. */
  text: string;
  /**
   * What the text is for, in the dialect `"openai-responses"`: `"commentary"` before a tool call, or `"final_answer"`. Send it back unchanged in the next
   * request.
   */
  phase?: string | undefined;
  /** The sources that the model cites for the text. They are sent back only to Anthropic, and only if they are from there. */
  annotations?: Annotations | undefined;
  /** Asks the provider to cache the prompt up to and including this part (Anthropic only; OpenAI caches automatically). */
  cacheControl?: CacheTtl | undefined;
}

/** The sources of a text, as the provider reports them. */
export interface Annotations {
  /** The wire format that they are written in. */
  dialect: DialectName;
  /** Anthropic's `citations`, or OpenAI's `annotations`. */
  json: readonly unknown[];
}

/** An image. */
export interface ImagePart {
  /** Says that the part is an image. */
  type: "image";
  /** The image. A URL is fetched by the provider. */
  image: Media;
  /** The media type of bytes and base64, such as `"image/png"`. Default: that of the `Blob` or of the first bytes, or `"image/png"`. */
  mediaType?: string | undefined;
  /** Asks the provider to cache the prompt up to and including this part (Anthropic only; OpenAI caches automatically). */
  cacheControl?: CacheTtl | undefined;
}

/** A document, such as a PDF. */
export interface DocumentPart {
  /** Says that the part is a document. */
  type: "document";
  /** The document. A URL is fetched by the provider. */
  document: Media;
  /**
   * The media type of bytes and base64. With `"text/plain"`, a string is the document's text itself. Default: that of the `Blob` or of the first bytes, or
   * `"application/pdf"`.
   */
  mediaType?: string | undefined;
  /** The title that the model sees. */
  title?: string | undefined;
  /** Asks the provider to cache the prompt up to and including this part (Anthropic only; OpenAI caches automatically). */
  cacheControl?: CacheTtl | undefined;
}

/** The model's request to run a tool. */
export interface ToolUsePart {
  /** Says that the part is a tool call. */
  type: "tool_use";
  /** The provider's id of the call, which the result refers to. */
  id: string;
  /** The tool's name. */
  name: string;
  /** The parsed arguments, or their text if it is not JSON. Not used if `argumentsText` is set. */
  arguments: unknown;
  /** The arguments as the model wrote them. */
  argumentsText?: string | undefined;
  /** Whether the tool is a custom tool of OpenAI, which takes text: `arguments` is then a string. Default: false. */
  custom?: boolean | undefined;
  /** The namespace that the tool belongs to (OpenAI's tools of the type `namespace`). */
  namespace?: string | undefined;
  /** The provider's program that makes the call, if the model does not make it itself. It goes back with the call. */
  caller?: unknown;
}

/** The result of a tool call. */
export interface ToolResultPart {
  /** Says that the part is the result of a tool call. */
  type: "tool_result";
  /** The `id` of the tool call. */
  toolUseId: string;
  /** The result: text and images. */
  content: string | readonly (TextPart | ImagePart)[];
  /** Whether the tool failed. `content` then describes the failure. Default: false. */
  isError?: boolean | undefined;
  /** Asks the provider to cache the prompt up to and including this part (Anthropic only; OpenAI caches automatically). */
  cacheControl?: CacheTtl | undefined;
}

/** The model's reasoning. Send it back unchanged in the next request. */
export interface ReasoningPart {
  /** Says that the part is reasoning. */
  type: "reasoning";
  /** The text. */
  text: string;
  /** The signature by which Anthropic verifies the reasoning, or the encrypted reasoning of the dialect `"openai-responses"`. */
  signature?: string | undefined;
  /**
   * The dialect in which the reasoning can be sent back, if that is not Anthropic's. It is left out of requests in any other dialect.
   */
  dialect?: DialectName | undefined;
}

/** Encrypted reasoning (Anthropic's `redacted_thinking`). Send it back unchanged in the next request. */
export interface RedactedReasoningPart {
  /** Says that the part is encrypted reasoning. */
  type: "redacted_reasoning";
  /** The encrypted reasoning. */
  data: string;
}

/** The name of a wire format. */
export type DialectName = "anthropic" | "openai-chat" | "openai-responses";

/**
 * A block that this package does not model, such as a call of a server-side tool or its result. Send it back unchanged. A request with a block of another
 * dialect fails.
 */
export interface OtherPart {
  /** Says that the part is a block of the provider's own. */
  type: "other";
  /** The wire format that the block is written in. */
  dialect: DialectName;
  /** The block as the provider wrote it. */
  json: unknown;
}

/** A part of a message. */
export type Part =
  | TextPart
  | ImagePart
  | DocumentPart
  | ToolUsePart
  | ToolResultPart
  | ReasoningPart
  | RedactedReasoningPart
  | OtherPart;

/** One turn of a conversation. */
export interface Message {
  /** Who says it. The system prompt is the request's `system`. */
  role: "user" | "assistant";
  /** The text, or its parts. */
  content: string | readonly Part[];
}
