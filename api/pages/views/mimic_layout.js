/**
 * Where things stand on the flowsheet of the simulated plant, for a wide and for a tall screen.
 * A value is [tag, x, y, anchor, label key or null]; a vessel [x, y, width, height, title key, level tag].
 */

export const WIDE = {
  box: [1020, 556],
  sizes: { value: 22, label: 18, unit: 16 },
  vessels: {
    reactor: [256, 206, 150, 214, 'page.mimic.reactor', 'xmeas_8'],
    separator: [536, 206, 150, 194, 'page.mimic.separator', 'xmeas_12'],
    stripper: [756, 206, 150, 214, 'page.mimic.stripper', 'xmeas_15'],
  },
  condenser: [462, 150, 26, 498, 203, 'end'],
  compressor: [396, 50, 24, 396, 97, 'middle'],
  pipes: [
    'M14 262H204', 'M14 332H204', 'M14 402H204', 'M204 50V402', 'M204 332H248>',
    'M331 206V150H436', 'M488 150H512V266H528>', 'M611 206V50H740>', 'M611 50H420', 'M372 50H212>',
    '~M831 206V116H212>', 'M611 400V458H720V256H748>', 'M470 530H738V366H748>', 'M1006 386H914>', 'M800 420V500H998>',
  ],
  values: [
    ['xmeas_1', 14, 252, 'start', 'page.mimic.a'],
    ['xmeas_2', 14, 322, 'start', 'page.mimic.d'],
    ['xmeas_3', 14, 392, 'start', 'page.mimic.e'],
    ['xmeas_5', 212, 40, 'start', null],
    ['xmeas_20', 430, 40, 'start', null],
    ['xmeas_10', 750, 57, 'start', 'page.mimic.purge'],
    ['xmeas_7', 331, 280, 'middle', null],
    ['xmeas_9', 331, 328, 'middle', null],
    ['xmeas_8', 331, 376, 'middle', null],
    ['xmeas_21', 331, 454, 'middle', 'page.mimic.water'],
    ['xmeas_13', 611, 276, 'middle', null],
    ['xmeas_11', 611, 320, 'middle', null],
    ['xmeas_12', 611, 364, 'middle', null],
    ['xmeas_14', 602, 446, 'end', null],
    ['xmeas_16', 831, 280, 'middle', null],
    ['xmeas_18', 831, 328, 'middle', null],
    ['xmeas_15', 831, 376, 'middle', null],
    ['xmeas_4', 470, 520, 'start', 'page.mimic.ac'],
    ['xmeas_19', 1012, 416, 'end', null],
    ['xmeas_17', 1012, 490, 'end', 'page.mimic.product'],
  ],
  words: [[1012, 376, 'end', 'page.mimic.steam'], [212, 72, 'start', 'page.mimic.recycle']],
};

export const TALL = {
  box: [360, 640],
  sizes: { value: 16, label: 14, unit: 13 },
  vessels: {
    reactor: [60, 128, 118, 150, 'page.mimic.reactor', 'xmeas_8'],
    separator: [232, 128, 118, 150, 'page.mimic.separator', 'xmeas_12'],
    stripper: [232, 412, 118, 150, 'page.mimic.stripper', 'xmeas_15'],
  },
  condenser: [190, 92, 16, 214, 78, 'start'],
  compressor: [150, 34, 15, 150, 66, 'middle'],
  pipes: [
    'M196 352H24', 'M196 388H24', 'M196 424H24', 'M24 34V424', 'M24 208H52>',
    'M119 128V92H174', 'M206 92H212V190H224>', 'M291 128V34H350>', 'M291 34H165', 'M135 34H32>',
    'M262 412V306H32>', 'M318 278V404>', 'M12 532H224>', 'M12 484H224>', 'M291 562V606H20>',
  ],
  values: [
    ['xmeas_1', 40, 346, 'start', 'page.mimic.a'],
    ['xmeas_2', 40, 382, 'start', 'page.mimic.d'],
    ['xmeas_3', 40, 418, 'start', 'page.mimic.e'],
    ['xmeas_10', 352, 22, 'end', 'page.mimic.purge'],
    ['xmeas_5', 34, 22, 'start', null],
    ['xmeas_7', 119, 182, 'middle', null],
    ['xmeas_9', 119, 216, 'middle', null],
    ['xmeas_8', 119, 250, 'middle', null],
    ['xmeas_13', 291, 182, 'middle', null],
    ['xmeas_11', 291, 216, 'middle', null],
    ['xmeas_12', 291, 250, 'middle', null],
    ['xmeas_16', 291, 466, 'middle', null],
    ['xmeas_18', 291, 500, 'middle', null],
    ['xmeas_15', 291, 534, 'middle', null],
    ['xmeas_4', 12, 525, 'start', 'page.mimic.ac'],
    ['xmeas_19', 12, 477, 'start', 'page.mimic.steam'],
    ['xmeas_17', 30, 599, 'start', 'page.mimic.product'],
  ],
  words: [],
};
