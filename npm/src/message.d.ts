/** Messages and their parts. */

/** How long Anthropic caches the prompt up to and including the part with this mark. */
export type CacheTtl = "5m" | "1h";

/** Bytes, a URL, a `data:` URL, or base64. */
export type Media = Uint8Array | ArrayBuffer | Blob | URL | string;

/** Text. */
export interface TextPart {
  type: "text";
  /** The text. */
  text: string;
  /** The sources that a model names for it, as the provider writes them. */
  annotations?: { dialect: DialectName; json: readonly unknown[] } | undefined;
  /** Asks the provider to cache the prompt up to and including this part. */
  cacheControl?: CacheTtl | undefined;
}

/** An image. */
export interface ImagePart {
  type: "image";
  /** The image. */
  image: Media;
  /** Default: detected from the first bytes. */
  mediaType?: string | undefined;
  /** Asks the provider to cache the prompt up to and including this part. */
  cacheControl?: CacheTtl | undefined;
}

/** A document, such as a PDF. */
export interface DocumentPart {
  type: "document";
  /** The document. */
  document: Media;
  /** With `"text/plain"`, a string is the document's text itself. */
  mediaType?: string | undefined;
  /** The title that the model sees. */
  title?: string | undefined;
  /** Asks the provider to cache the prompt up to and including this part. */
  cacheControl?: CacheTtl | undefined;
}

/** The model's request to run a tool. */
export interface ToolUsePart {
  type: "tool_use";
  /** The provider's id of the call, which the result refers to. */
  id: string;
  /** The tool's name. */
  name: string;
  /** The parsed arguments, or their text if it is not JSON. */
  arguments: unknown;
  /** The arguments as the model wrote them. */
  argumentsText?: string | undefined;
}

/** The result of a tool call. */
export interface ToolResultPart {
  type: "tool_result";
  /** The id of the tool call. */
  toolUseId: string;
  /** What the model reads as the result. */
  content: string | readonly (TextPart | ImagePart)[];
  /** Whether the tool failed. Default: false. */
  isError?: boolean | undefined;
  /** Asks the provider to cache the prompt up to and including this part. */
  cacheControl?: CacheTtl | undefined;
}

/** The model's reasoning. Send it back unchanged in the next request. */
export interface ReasoningPart {
  type: "reasoning";
  /** The reasoning. */
  text: string;
  /** The provider's proof that the reasoning is its own. */
  signature?: string | undefined;
}

/** Reasoning that the provider has encrypted. Send it back unchanged. */
export interface RedactedReasoningPart {
  type: "redacted_reasoning";
  /** The encrypted reasoning. */
  data: string;
}

/** The name of a wire format. */
export type DialectName = "anthropic" | "openai-chat";

/** A block of a provider's own, such as the use of a server's tool. It goes back unchanged to its own dialect. */
export interface OtherPart {
  type: "other";
  /** The wire format of the block. */
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
  /** Who says it. Instructions are the request's `system`. */
  role: "user" | "assistant";
  /** The text, or its parts. */
  content: string | readonly Part[];
}
