# SPDX-License-Identifier: Apache-2.0
"""What PyTorch says of AMC's agent and of what it sees; writes amc.inc.

    python3 amc.py > amc.inc

Independent of Espalier. Updates of actor and critic by deep deterministic policy gradient (arXiv
1509.02971) with the moving baseline of arXiv 1802.03494: networks of 3 inputs and twice 4 hidden
units, 5 remembered steps and 3 new ones, each followed by an update over all that are remembered (6
at most). Numbers of the inputs are multiples of 1/64. And the features of four layers, from
PyTorch's modules. Made with PyTorch 2.13.
"""

import copy

import torch
from torch import nn

FEATURES, HIDDEN, KEPT = 3, 4, 6
ACTOR_LR, CRITIC_LR, FOLLOW, DISCOUNT, ALPHA = 0.03, 0.05, 0.1, 0.9, 0.5


def sixty_fourths(shape, generator, scale):
    return torch.round(torch.randn(shape, generator=generator, dtype=torch.float64) * scale * 64) / 64


def network(inputs, generator):
    net = nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
                        nn.Linear(HIDDEN, 1)).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(sixty_fourths(p.shape, generator, 0.6))
    return net


def show(name, tensor, digits=None):
    values = [repr(v) if digits is None else f"{v:.{digits}g}" for v in tensor.flatten().tolist()]
    lines, line = [], "   "
    for value in values:
        if len(line) + len(value) + 2 > 98:
            lines.append(line)
            line = "   "
        line += " " + value + ","
    print(f'    {{"{name}",\n     {{' + "\n".join(lines + [line]).strip().rstrip(",") + "}},")


def show_network(name, net, digits=None):
    for key, tensor in net.state_dict().items():
        show(f"{name}.{key}", tensor, digits)


def agent():
    g = torch.Generator().manual_seed(11)
    actor, critic = network(FEATURES, g), network(FEATURES + 1, g)
    actor_target, critic_target = network(FEATURES, g), network(FEATURES + 1, g)
    nets = {"actor": actor, "critic": critic, "actor-target": actor_target, "critic-target": critic_target}
    for name, net in nets.items():
        show_network("before " + name, net)
    states, following = sixty_fourths((5, FEATURES), g, 1.0), sixty_fourths((5, FEATURES), g, 1.0)
    actions = sixty_fourths((5, 1), g, 0.3).abs().clamp(0, 1)
    rewards = sixty_fourths((5, 1), g, 0.5)
    last = torch.tensor([[0.0], [1.0], [0.0], [0.0], [1.0]], dtype=torch.float64)
    replay = torch.cat([states, actions, rewards, following, last], 1)
    show("replay", replay)
    new_states, new_rewards = sixty_fourths((3, FEATURES), g, 1.0), sixty_fourths((3,), g, 0.5)
    show("new states", new_states)
    show("new rewards", new_rewards)

    adam_actor = torch.optim.Adam(actor.parameters(), lr=ACTOR_LR)
    adam_critic = torch.optim.Adam(critic.parameters(), lr=CRITIC_LR)
    baseline, chosen = None, []
    for s, r in zip(new_states, new_rewards):
        with torch.no_grad():
            a = torch.sigmoid(actor(s))
        chosen.append(a)
        replay = torch.cat([replay, torch.cat([s, a, r.view(1), s, torch.ones(1)]).view(1, -1)])[-KEPT:]
        states, actions, rewards = replay[:, :3], replay[:, 3:4], replay[:, 4:5]
        following, last = replay[:, 5:8], replay[:, 8:9]
        mean = rewards.mean()
        baseline = mean if baseline is None else baseline + ALPHA * (mean - baseline)
        with torch.no_grad():
            value = critic_target(torch.cat([following, torch.sigmoid(actor_target(following))], 1))
            wanted = rewards - baseline + DISCOUNT * (1 - last) * value
        adam_critic.zero_grad()
        nn.functional.mse_loss(critic(torch.cat([states, actions], 1)), wanted).backward()
        adam_critic.step()
        adam_actor.zero_grad()
        (-critic(torch.cat([states, torch.sigmoid(actor(states))], 1)).mean()).backward()
        adam_actor.step()
        with torch.no_grad():
            for net, target in ((actor, actor_target), (critic, critic_target)):
                for p, t in zip(net.parameters(), target.parameters()):
                    t.copy_(t * (1 - FOLLOW) + p * FOLLOW)
    for name, net in nets.items():
        show_network("after " + name, net, 10)
    show("chosen", torch.cat(chosen), 10)
    show("baseline", baseline, 12)


def features():
    net = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 12, 1), nn.ReLU(),
                        nn.Conv2d(12, 10, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(160, 5))
    macs = []

    def count(module, inputs, output):
        positions = output[0][0].numel() if isinstance(module, nn.Conv2d) else 1
        macs.append(module.weight.numel() * positions)

    rows = []
    for module in net:
        if isinstance(module, nn.Conv2d):
            rows.append([len(rows), 0, module.in_channels, module.out_channels, module.stride[0],
                         module.kernel_size[0], module.weight.numel()])
        if isinstance(module, nn.Linear):
            rows.append([len(rows), 1, module.in_features, module.out_features, 0, 1, module.weight.numel()])
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    net(torch.zeros(1, 3, 8, 8))
    table = torch.tensor(rows, dtype=torch.float64)
    low, high = table.min(0).values, table.max(0).values
    show("features", (table - low) / (high - low), 15)
    macs = torch.tensor(macs, dtype=torch.float64)
    show("macs", macs)
    show("rest", torch.stack([macs[i + 1:].sum() / macs.sum() for i in range(len(macs))]), 15)


if __name__ == "__main__":
    print("// SPDX-License-Identifier: Apache-2.0")
    print("// Written by amc.py. Names, and values in the order of memory.")
    agent()
    features()
