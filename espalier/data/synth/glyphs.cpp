// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/synth/glyphs.h>

#include <array>

namespace espalier::data::synth {
namespace {

using enum Stroke::Kind;

// 0: an oval; a rounder box.
constexpr Point k0Oval[] = {{0.0f, -1.0f},
                            {0.40f, -0.75f},
                            {0.55f, 0.0f},
                            {0.40f, 0.75f},
                            {0.0f, 1.0f},
                            {-0.40f, 0.75f},
                            {-0.55f, 0.0f},
                            {-0.40f, -0.75f}};
constexpr Point k0Box[] = {{0.0f, -1.0f},
                           {0.38f, -0.90f},
                           {0.50f, -0.50f},
                           {0.50f, 0.50f},
                           {0.38f, 0.90f},
                           {0.0f, 1.0f},
                           {-0.38f, 0.90f},
                           {-0.50f, 0.50f},
                           {-0.50f, -0.50f},
                           {-0.38f, -0.90f}};
constexpr Stroke k0A[] = {{SmoothClosed, k0Oval}};
constexpr Stroke k0B[] = {{SmoothClosed, k0Box}};
constexpr Glyph k0[] = {{k0A}, {k0B}};

// 1: with a flag; bare; with a flag and a foot.
constexpr Point k1Flag[] = {{-0.36f, -0.58f}, {0.05f, -1.0f}, {0.05f, 1.0f}};
constexpr Point k1Bare[] = {{0.0f, -1.0f}, {0.0f, 1.0f}};
constexpr Point k1Foot[] = {{-0.38f, 1.0f}, {0.42f, 1.0f}};
constexpr Stroke k1A[] = {{Straight, k1Flag}};
constexpr Stroke k1B[] = {{Straight, k1Bare}};
constexpr Stroke k1C[] = {{Straight, k1Flag}, {Straight, k1Foot}};
constexpr Glyph k1[] = {{k1A}, {k1A}, {k1B}, {k1C}};

// 2: a straight foot; a foot with a wave.
constexpr Point k2Neck[] = {{-0.50f, -0.58f},
                            {-0.30f, -0.92f},
                            {0.06f, -1.0f},
                            {0.42f, -0.82f},
                            {0.48f, -0.42f},
                            {0.22f, 0.08f},
                            {-0.20f, 0.55f},
                            {-0.52f, 1.0f}};
constexpr Point k2Foot[] = {{-0.52f, 1.0f}, {0.55f, 1.0f}};
constexpr Point k2Wave[] = {{-0.52f, 1.0f}, {-0.20f, 0.86f}, {0.20f, 1.0f}, {0.55f, 0.90f}};
constexpr Stroke k2A[] = {{Smooth, k2Neck}, {Straight, k2Foot}};
constexpr Stroke k2B[] = {{Smooth, k2Neck}, {Smooth, k2Wave}};
constexpr Glyph k2[] = {{k2A}, {k2A}, {k2B}};

// 3: two bows; a flat top.
constexpr Point k3Top[] = {{-0.46f, -0.74f},
                           {-0.10f, -1.0f},
                           {0.30f, -0.90f},
                           {0.43f, -0.53f},
                           {0.26f, -0.16f},
                           {-0.14f, -0.05f}};
constexpr Point k3Bottom[] = {{-0.14f, -0.05f},
                              {0.34f, 0.08f},
                              {0.52f, 0.48f},
                              {0.36f, 0.87f},
                              {-0.04f, 1.0f},
                              {-0.50f, 0.74f}};
constexpr Point k3Flat[] = {{-0.46f, -1.0f}, {0.46f, -1.0f}, {-0.05f, -0.16f}};
constexpr Point k3Bowl[] = {{-0.05f, -0.16f},
                            {0.36f, -0.04f},
                            {0.52f, 0.42f},
                            {0.36f, 0.86f},
                            {-0.04f, 1.0f},
                            {-0.50f, 0.78f}};
constexpr Stroke k3A[] = {{Smooth, k3Top}, {Smooth, k3Bottom}};
constexpr Stroke k3B[] = {{Straight, k3Flat}, {Smooth, k3Bowl}};
constexpr Glyph k3[] = {{k3A}, {k3A}, {k3B}};

// 4: closed; open at the top.
constexpr Point k4Closed[] = {{0.24f, 1.0f}, {0.24f, -1.0f}, {-0.55f, 0.40f}, {0.55f, 0.40f}};
constexpr Point k4Arm[] = {{-0.34f, -1.0f}, {-0.52f, 0.18f}, {0.54f, 0.18f}};
constexpr Point k4Stem[] = {{0.26f, -0.55f}, {0.26f, 1.0f}};
constexpr Stroke k4A[] = {{Straight, k4Closed}};
constexpr Stroke k4B[] = {{Straight, k4Arm}, {Straight, k4Stem}};
constexpr Glyph k4[] = {{k4A}, {k4A}, {k4B}};

// 5.
constexpr Point k5Top[] = {{0.45f, -1.0f}, {-0.36f, -1.0f}, {-0.44f, -0.10f}};
constexpr Point k5Bowl[] = {{-0.44f, -0.10f},
                            {-0.02f, -0.30f},
                            {0.40f, -0.12f},
                            {0.53f, 0.34f},
                            {0.34f, 0.82f},
                            {-0.08f, 1.0f},
                            {-0.50f, 0.78f}};
constexpr Stroke k5A[] = {{Straight, k5Top}, {Smooth, k5Bowl}};
constexpr Glyph k5[] = {{k5A}};

// 6: a bent back; a straight one.
constexpr Point k6Bent[] = {{0.42f, -0.86f},
                            {0.08f, -1.0f},
                            {-0.34f, -0.62f},
                            {-0.53f, 0.20f},
                            {-0.36f, 0.82f},
                            {0.02f, 1.0f},
                            {0.40f, 0.80f},
                            {0.52f, 0.40f},
                            {0.34f, -0.02f},
                            {0.0f, -0.12f},
                            {-0.36f, 0.04f},
                            {-0.52f, 0.36f}};
constexpr Point k6Straight[] = {{0.24f, -1.0f},
                                {-0.20f, -0.36f},
                                {-0.50f, 0.30f},
                                {-0.38f, 0.84f},
                                {0.0f, 1.0f},
                                {0.40f, 0.82f},
                                {0.50f, 0.42f},
                                {0.32f, 0.02f},
                                {-0.04f, -0.06f},
                                {-0.40f, 0.12f}};
constexpr Stroke k6A[] = {{Smooth, k6Bent}};
constexpr Stroke k6B[] = {{Smooth, k6Straight}};
constexpr Glyph k6[] = {{k6A}, {k6A}, {k6B}};

// 7: plain; with a bar; bent.
constexpr Point k7Plain[] = {{-0.50f, -1.0f}, {0.50f, -1.0f}, {-0.12f, 1.0f}};
constexpr Point k7Bar[] = {{-0.26f, 0.02f}, {0.42f, 0.02f}};
constexpr Point k7Top[] = {{-0.50f, -1.0f}, {0.52f, -1.0f}};
constexpr Point k7Bend[] = {{0.52f, -1.0f}, {0.18f, -0.38f}, {-0.04f, 0.30f}, {-0.10f, 1.0f}};
constexpr Stroke k7A[] = {{Straight, k7Plain}};
constexpr Stroke k7B[] = {{Straight, k7Plain}, {Straight, k7Bar}};
constexpr Stroke k7C[] = {{Straight, k7Top}, {Smooth, k7Bend}};
constexpr Glyph k7[] = {{k7A}, {k7A}, {k7B}, {k7C}};

// 8: two rings.
constexpr Point k8Top[] = {{0.0f, -1.0f},
                           {0.31f, -0.86f},
                           {0.42f, -0.53f},
                           {0.28f, -0.20f},
                           {0.0f, -0.07f},
                           {-0.28f, -0.20f},
                           {-0.42f, -0.53f},
                           {-0.31f, -0.86f}};
constexpr Point k8Bottom[] = {{0.0f, -0.07f},
                              {0.37f, 0.10f},
                              {0.52f, 0.46f},
                              {0.38f, 0.84f},
                              {0.0f, 1.0f},
                              {-0.38f, 0.84f},
                              {-0.52f, 0.46f},
                              {-0.37f, 0.10f}};
constexpr Stroke k8A[] = {{SmoothClosed, k8Top}, {SmoothClosed, k8Bottom}};
constexpr Glyph k8[] = {{k8A}};

// 9: a bent tail; a straight stem; a 6 upside down.
constexpr Point k9Bent[] = {{-0.42f, 0.86f},
                            {-0.08f, 1.0f},
                            {0.34f, 0.62f},
                            {0.53f, -0.20f},
                            {0.36f, -0.82f},
                            {-0.02f, -1.0f},
                            {-0.40f, -0.80f},
                            {-0.52f, -0.40f},
                            {-0.34f, 0.02f},
                            {0.0f, 0.12f},
                            {0.36f, -0.04f},
                            {0.52f, -0.36f}};
constexpr Point k9Ring[] = {{0.0f, -1.0f},
                            {0.34f, -0.84f},
                            {0.46f, -0.45f},
                            {0.34f, -0.06f},
                            {0.0f, 0.10f},
                            {-0.36f, -0.06f},
                            {-0.50f, -0.45f},
                            {-0.36f, -0.84f}};
constexpr Point k9Stem[] = {{0.46f, -0.45f}, {0.40f, 1.0f}};
constexpr Stroke k9A[] = {{Smooth, k9Bent}};
constexpr Stroke k9B[] = {{SmoothClosed, k9Ring}, {Straight, k9Stem}};
constexpr Glyph k9[] = {{k9A}, {k9A}, {k9B}};

constexpr std::array<std::span<const Glyph>, 10> kDigits = {k0, k1, k2, k3, k4, k5, k6, k7, k8, k9};

}  // namespace

std::span<const Glyph> glyphs(int digit) {
  return kDigits[static_cast<size_t>(digit)];
}

}  // namespace espalier::data::synth
