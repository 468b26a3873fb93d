export const GREETINGS = { en: "Hello", fr: "Bonjour", de: "Guten Tag" } as const;

const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);

export function page(greeting: string, name: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${escaped(greeting)}</title>
<h1>${escaped(greeting)}, ${escaped(name)}!</h1>
`;
}
