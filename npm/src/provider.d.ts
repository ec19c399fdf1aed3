/** A vendor or server: who is called, at which URL, in which wire format. For a server that is not listed, use `"openai"` and its `baseUrl`. */
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

/** A token and how long it is valid from now on. Without `expiresInMs` it is used until the provider refuses it. */
export interface AccessToken {
  /** The token, without `Bearer`. */
  token: string;
  /** How long it is valid from now on, in milliseconds. */
  expiresInMs?: number | undefined;
}
