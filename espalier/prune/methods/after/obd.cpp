// SPDX-License-Identifier: Apache-2.0
/// OBD: optimal brain damage.
///
/// Source: LeCun, Denker, Solla, "Optimal brain damage", NeurIPS 1989; see scores/damage.cpp.
#include <espalier/prune/methods/methods.h>
#include <espalier/prune/scores/damage.h>

namespace espalier::prune::method_list {
namespace {

struct Obd {
  Diagonal diagonal = Diagonal::GaussNewton;
  int64_t gradients = 256;
  int64_t draws = 32;
  ScoringMode mode = ScoringMode::Eval;
  int64_t rounds = 1;
  double until = 1.0;
  std::string allocation = "global";
};

}  // namespace

Method obd() {
  return make_method<Obd>(
      {.name = "obd",
       .title = "OBD: optimal brain damage",
       .paper = "LeCun, Denker, Solla, NeurIPS 1989",
       .year = 1990,
       .idea = "A weight may be large where the loss is flat: at a minimum the second derivative "
               "says what the loss rises by when the weight goes.",
       .formula =
           "s_k = h_kk w_k^2 / 2, h_kk the diagonal of the matrix of second derivatives; the "
           "lowest go",
       .schedule = "start from trained weights; one update before fine-tuning, or `rounds` updates "
                   "spread evenly over it, each with second derivatives of its own",
       .differs = "h_kk is a mean of squared gradients of samples whose labels the network draws "
                  "(diagonal gauss-newton), which is the diagonal of Gauss-Newton's matrix; the "
                  "paper's one pass over squared activations also leaves out what units of a layer "
                  "have to do with each other",
       .use_when = "You want the classic second-order score, exact for small networks.",
       .not_when = "The network is confident on its data: drawn labels then tell little; "
                   "woodfisher sees more.",
       .patterns = {"unstructured"}},
      {{&Obd::diagonal,
        "diagonal",
        {"gauss-newton", "fisher", "hessian"},
        "mean squared gradients with labels that the network draws, or with the data's; or "
        "products with the Hessian"},
       OptionEntry<Obd>(&Obd::gradients,
                        "gradients",
                        {1, 1'000'000},
                        "samples",
                        "whose gradients are squared; each costs a backward pass")
           .needing("diagonal", {"gauss-newton", "fisher"}),
       OptionEntry<Obd>(&Obd::draws,
                        "draws",
                        {0, 1'000'000},
                        "",
                        "vectors of random signs that the Hessian is multiplied with; 0: one "
                        "product for every weight, exact")
           .needing("diagonal", {"hessian"}),
       scoring_mode_option(&Obd::mode),
       rounds_option(&Obd::rounds),
       until_option(&Obd::until),
       allocation_option(&Obd::allocation, weight_allocations())},
      [](const Obd& o, const PruneSettings&) -> Timeline {
        return {{at(iterative_schedule(o.rounds, o.until),
                    mask_update({.score = damage_score({.diagonal = o.diagonal,
                                                        .gradients = o.gradients,
                                                        .draws = o.draws,
                                                        .mode = o.mode}),
                                 .allocation = make_allocation(o.allocation)}))}};
      });
}

}  // namespace espalier::prune::method_list
