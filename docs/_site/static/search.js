/* What is searched for is often a whole error message, with names of the reader's own program in it. Sphinx shows only
   pages that have every word, so such a message would find nothing. Here each word is searched for by itself and counts
   for as much as it is rare; shown are the pages that have at least half of what the best one has, that one first. */
"use strict";

if (typeof Search !== "undefined") {
  const pagesWithAll = Search.performTermsSearch;

  Search.performTermsSearch = (words, excluded) => {
    const pages = new Map();
    for (const word of words) {
      const found = pagesWithAll(new Set([word]), excluded);
      const rarity = Math.log(Search._index.docnames.length / found.length);
      for (const page of found) {
        const sum = pages.get(page[0]) ?? [...page.slice(0, 4), 0, ...page.slice(5)];
        sum[4] += page[4] * rarity;
        pages.set(page[0], sum);
      }
    }
    const best = Math.max(...[...pages.values()].map((page) => page[4]));
    return [...pages.values()].filter((page) => page[4] >= best / 2);
  };
}
