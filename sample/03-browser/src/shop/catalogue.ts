export interface Product {
  readonly sku: string;
  readonly name: string;
  readonly priceInCents: number;
}

/** Stands for your products' table. */
export const CATALOGUE: readonly Product[] = [
  { sku: 'sencha', name: 'Sencha', priceInCents: 950 },
  { sku: 'assam', name: 'Assam', priceInCents: 780 },
  { sku: 'chamomile', name: 'Chamomile', priceInCents: 640 },
  { sku: 'teapot', name: 'Clay teapot', priceInCents: 3900 },
];

export const SKUS = CATALOGUE.map(({ sku }) => sku);
