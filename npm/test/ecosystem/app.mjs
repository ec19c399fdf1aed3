// A program of a user's, which each bundler bundles. Its first argument is the simulator's address.
import { Warmline } from "warmline";

const llm = new Warmline({ provider: "openai", apiKey: "k", baseUrl: `${process.argv[2]}/v1` });
llm.chat({ model: "m?tokens=2", messages: [{ role: "user", content: "Hello" }] }).then(({ text }) => console.log(text));
