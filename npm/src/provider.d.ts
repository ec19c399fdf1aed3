/**
 * The id of a provider, which is a vendor or a server: who is called, at which URL, in which wire format, at which prices. For a server that is not listed, use
 * `"openai"` or `"anthropic"`, whichever it is compatible with, and its `baseUrl`.
 */
export type Provider =
  | "anthropic"
  | "openai"
  | "azure"
  | "groq"
  | "deepseek"
  | "mistral"
  | "xai"
  | "openrouter"
  | "together"
  | "fireworks"
  | "cerebras"
  | "perplexity"
  | "moonshot"
  | "gemini-openai"
  | "bedrock-openai"
  | "bedrock-anthropic"
  | "vertex-openai"
  | "ollama"
  | "vllm"
  | "lmstudio"
  | "llamacpp"
  | "litellm";

/** A bearer token and its lifetime. */
export interface AccessToken {
  /** The token, without `Bearer`. */
  token: string;
  /** How long it is valid from now on, in milliseconds. Default: it is used until the provider answers 401. */
  expiresInMs?: number | undefined;
}
