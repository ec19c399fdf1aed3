// What each package is asked to do, given the package and the simulator's address.
const messages = [{ role: "user", content: "Why are warm connections faster than cold ones?" }];

const ours = (provider, path) => (m, sim) => {
  const llm = new m.Warmline({ provider, apiKey: "k", baseUrl: sim + path });
  return {
    unary: (model) => llm.chat({ model, messages }),
    async stream(model) {
      let length = 0;
      for await (const event of llm.stream({ model, messages })) if (event.type === "text") length += event.text.length;
      return length;
    },
  };
};

export const contestants = {
  warmline: { package: "warmline", make: ours("openai", "/v1") },
  openai: {
    package: "openai",
    make(m, sim) {
      const { completions } = new m.default({ apiKey: "k", baseURL: `${sim}/v1` }).chat;
      return {
        unary: (model) => completions.create({ model, messages }),
        async stream(model) {
          let length = 0;
          for await (const chunk of await completions.create({ model, messages, stream: true })) length += chunk.choices[0]?.delta.content?.length ?? 0;
          return length;
        },
      };
    },
  },
  "warmline (anthropic)": { package: "warmline", make: ours("anthropic", "") },
  "@anthropic-ai/sdk": {
    package: "@anthropic-ai/sdk",
    make(m, sim) {
      const api = new m.default({ apiKey: "k", baseURL: sim }).messages;
      return {
        unary: (model) => api.create({ model, messages, max_tokens: 4096 }),
        async stream(model) {
          let length = 0;
          for await (const event of await api.create({ model, messages, max_tokens: 4096, stream: true })) {
            if (event.type === "content_block_delta") length += event.delta.text.length;
          }
          return length;
        },
      };
    },
  },
};

export async function many(calls, atOnce, call) {
  for (let done = 0; done < calls; done += atOnce) await Promise.all(Array.from({ length: atOnce }, call));
}
