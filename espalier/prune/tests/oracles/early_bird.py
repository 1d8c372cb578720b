# SPDX-License-Identifier: Apache-2.0
"""The epoch at which Early-Bird tickets are drawn, by sets of channels; writes early_bird.inc.

    python3 early_bird.py > early_bird.inc

24 scales that wander less and less, looked at before each of 20 epochs. Made with PyTorch 2.13.
"""

import torch

from fixture import head, show, sixty_fourths

EPOCHS, CHANNELS, LOOKS, DISTANCE = 19, 24, 5, 0.1


def main():
    head("early_bird.py")
    g = torch.Generator().manual_seed(9)
    scales = torch.full((CHANNELS,), 32.0, dtype=torch.float64) / 64
    history = [scales]
    for epoch in range(1, EPOCHS):
        step = sixty_fourths((CHANNELS,), g, 0.4 * 0.55**(epoch - 1) + 0.02)
        history.append(history[-1] + step + torch.arange(CHANNELS) / 4096)
    for epoch, one in enumerate(history):
        show(f"scales {epoch}", one, 9)
    for fraction in (0.25, 0.5, 0.75):
        keep = CHANNELS - round(fraction * CHANNELS)
        kept = []
        for one in history:
            order = sorted(range(CHANNELS), key=lambda c: (-abs(one[c].item()), c))
            kept.append(set(order[:keep]))
        drawn = None
        for epoch in range(LOOKS - 1, EPOCHS):
            others = kept[epoch - LOOKS + 1:epoch]
            if all(len(kept[epoch] ^ other) / CHANNELS <= DISTANCE for other in others):
                drawn = epoch
                break
        assert drawn is not None and LOOKS - 1 < drawn < EPOCHS - 2, (fraction, drawn)
        # A rule that looks at the last two alone would come too soon.
        first_near = next(e for e in range(1, EPOCHS) if len(kept[e] ^ kept[e - 1]) / CHANNELS <= DISTANCE)
        assert first_near < drawn, (first_near, drawn)
        show(f"drawn {fraction}", torch.tensor([float(drawn)]))
        show(f"mask {fraction}", torch.tensor([float(c in kept[drawn]) for c in range(CHANNELS)]))


if __name__ == "__main__":
    main()
