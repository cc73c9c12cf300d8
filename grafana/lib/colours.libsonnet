// Okabe and Ito's palette, which people with any colour vision tell apart.
// Stable and canary keep their colours on every panel of every dashboard.
{
  stable: '#0072B2',
  canary: '#E69F00',
  good: '#009E73',
  bad: '#D55E00',
  caution: '#F0E442',
  blind: '#CC79A7',
  undecided: '#56B4E9',
  neutral: '#8A8F98',
}
