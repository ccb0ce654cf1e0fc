extension Methods {
    /// What networks are pruned with that are in memory as a whole.
    static let networks: [MethodDescription] = [
        MethodDescription(
            name: "snip", kind: .criterion,
            summary:
                "Removes the weights whose going changes the loss least, to first order: |w g|, g the mean gradient.",
            recipeKey: "prune.method: snip",
            example: "stages: [{prune: {method: snip, sparsity: 0.9, recovery: fine-tune}}]",
            paper: "Lee et al. 2019, arXiv:1810.02340", evidence: "one-shot-criteria"),
        MethodDescription(
            name: "grasp", kind: .criterion,
            summary: "Keeps the weights that gradient flow needs: w (H g), with exact products by the Hessian.",
            recipeKey: "prune.method: grasp, prune.temperature",
            example: "stages: [{prune: {method: grasp, sparsity: 0.9, recovery: fine-tune}}]",
            paper: "Wang et al. 2020, arXiv:2002.07376", evidence: "one-shot-criteria"),
        MethodDescription(
            name: "synflow", kind: .criterion,
            summary: "Removes the weights with the least flow through the network, in 100 rounds; needs no data.",
            recipeKey: "prune.method: synflow",
            example: "stages: [{prune: {method: synflow, sparsity: 0.9}}]",
            paper: "Tanaka et al. 2020, arXiv:2006.05467", evidence: "one-shot-criteria"),
        MethodDescription(
            name: "taylor", kind: .criterion,
            summary: "Removes the weights with the smallest (w g)², the mean over batches.",
            recipeKey: "prune.method: taylor",
            example: "stages: [{prune: {method: taylor, sparsity: 0.5}}]",
            paper: "Molchanov et al. 2019, arXiv:1906.10771", evidence: "one-shot-criteria"),
        MethodDescription(
            name: "obd", kind: .criterion,
            summary: "Optimal brain damage with the diagonal of the empirical Fisher matrix.",
            recipeKey: "prune.method: obd, prune.gradients, prune.gradient_batch, prune.dampening",
            example: "stages: [{prune: {method: obd, sparsity: 0.5}}]",
            paper: "LeCun et al. 1990, Optimal Brain Damage (NIPS 2)", evidence: "one-shot-criteria"),
        MethodDescription(
            name: "hessian", kind: .criterion,
            summary: "Optimal brain damage with the Hessian's own diagonal, estimated by products with random signs.",
            recipeKey: "prune.method: hessian",
            example: "stages: [{prune: {method: hessian, sparsity: 0.5}}]",
            paper: "LeCun et al. 1990, Optimal Brain Damage (NIPS 2); Bekas et al. 2007", evidence: "one-shot-criteria"),
        MethodDescription(
            name: "woodfisher", kind: .criterion,
            summary: "Saliencies of optimal brain surgeon, the inverse Fisher matrix in blocks of consecutive weights.",
            recipeKey: "prune.method: woodfisher, prune.block_size",
            example: "stages: [{prune: {method: woodfisher, sparsity: 0.7, recovery: surgeon}}]",
            paper: "Singh and Alistarh 2020, arXiv:2004.14340", evidence: "one-shot-criteria"),
        MethodDescription(
            name: "m-fac", kind: .criterion,
            summary: "Saliencies of optimal brain surgeon, the inverse Fisher matrix whole and never formed.",
            recipeKey: "prune.method: m-fac, prune.gradients",
            example: "stages: [{prune: {method: m-fac, sparsity: 0.7, recovery: surgeon}}]",
            paper: "Frantar et al. 2021, arXiv:2107.03356", evidence: "m-fac"),
        MethodDescription(
            name: "cka", kind: .criterion,
            summary: "Removes the whole layers without which outputs stay most similar, by linear CKA.",
            recipeKey: "prune.method: cka, prune.granularity: layer",
            example: "stages: [{prune: {method: cka, granularity: layer, count: 1}}]",
            paper: "Kornblith et al. 2019, arXiv:1905.00414", evidence: nil),
        MethodDescription(
            name: "kl", kind: .criterion,
            summary: "Removes the whole layers without which the probabilities of outputs diverge least.",
            recipeKey: "prune.method: kl, prune.granularity: layer",
            example: "stages: [{prune: {method: kl, granularity: layer, sparsity: 0.25}}]",
            paper: "baseline in Jordao et al. 2023", evidence: nil),
        MethodDescription(
            name: "mask", kind: .criterion,
            summary: "Removes what is zero in another network of the same architecture, such as a found ticket.",
            recipeKey: "prune.method: mask, prune.masks: PATH",
            example: "stages: [{prune: {method: mask, masks: pruned, recovery: fine-tune}}]",
            paper: "Frankle and Carbin 2019, arXiv:1803.03635", evidence: nil),
        MethodDescription(
            name: "searched", kind: .criterion,
            summary: "Lottery jackpots: searches the mask of a trained network whose weights stay as they are, bit for "
                + "bit.",
            recipeKey: "prune.method: searched, prune.init: magnitude | random | snip | …, "
                + "prune.rates: global | uniform | erk, prune.restrict: none | poly4 | cosine, prune.epochs, "
                + "prune.then_train",
            example: "training: {epochs: 5}\nstages: [{prune: {method: searched, sparsity: 0.9}}]",
            paper: "Zhang et al. 2021, arXiv:2104.08700", evidence: "lottery-jackpots"),
        MethodDescription(
            name: "bip", kind: .criterion,
            summary: "Bi-level pruning: learns masks of weights, filters or channels while the weights retrain.",
            recipeKey: "prune.method: bip, prune.granularity: weight | filter | channel, prune.mask_learning_rate, "
                + "prune.gamma, prune.lower_steps, prune.implicit: formula | code | none, "
                + "prune.score_scale: raw | layer",
            example: "training: {epochs: 10}\nstages: [{prune: {method: bip, sparsity: 0.95, mask_learning_rate: 1}}]",
            paper: "Zhang et al. 2022, arXiv:2210.04092", evidence: "bip"),
        MethodDescription(
            name: "movement", kind: .criterion,
            summary: "Keeps the weights that fine-tuning moves away from zero, whatever their size.",
            recipeKey: "prune.method: movement, prune.schedule: { kind: gradual, … }",
            example: "training: {epochs: 5}\nstages: [{prune: {method: movement, sparsity: 0.9}}]",
            paper: "Sanh et al. 2020, arXiv:2005.07683", evidence: nil),
        MethodDescription(
            name: "l1", kind: .criterion,
            summary: "Removes the channels whose filters have the smallest sum of |w|.",
            recipeKey: "prune.method: l1, prune.granularity: filter | channel",
            example: "training: {epochs: 3}\nstages: [{prune: {method: l1, sparsity: 0.3, granularity: filter, "
                + "recovery: fine-tune}}]",
            paper: "Li et al. 2017, arXiv:1608.08710", evidence: nil),
        MethodDescription(
            name: "l2", kind: .criterion,
            summary: "Removes the channels whose filters have the smallest Euclidean norm.",
            recipeKey: "prune.method: l2, prune.granularity: filter | channel",
            example: "stages: [{prune: {method: l2, sparsity: 0.3, granularity: channel}}]",
            paper: "He et al. 2018, arXiv:1808.06866", evidence: nil),
        MethodDescription(
            name: "group-l2", kind: .criterion,
            summary: "Removes the channels of which all that belongs to them (filters, norms, what reads them) has the "
                + "smallest sum of squares.",
            recipeKey: "prune.method: group-l2, prune.granularity: filter | channel",
            example: "stages: [{prune: {method: group-l2, sparsity: 0.3, granularity: channel}}]",
            paper: "Fang et al. 2023, arXiv:2301.12900", evidence: nil),
        MethodDescription(
            name: "bn-scale", kind: .criterion,
            summary: "Network slimming: removes the channels whose batch normalization has the smallest scale; for "
                + "networks trained with an L1 penalty on scales, here or by coppice train.",
            recipeKey: "prune.method: bn-scale, prune.granularity: filter | channel, training.bn_scale_l1",
            example: "training: {epochs: 3, bn_scale_l1: 1.0e-4}\n"
                + "stages: [{prune: {method: magnitude, sparsity: 0, recovery: fine-tune}}, "
                + "{prune: {method: bn-scale, sparsity: 0.3, granularity: channel}}]",
            paper: "Liu et al. 2017, arXiv:1708.06519", evidence: nil),
        MethodDescription(
            name: "gradual", kind: .schedule,
            summary: "Prunes while the network trains, on a cubic ramp that is steep at first and flat in the end.",
            recipeKey: "prune.schedule: { kind: gradual, begin, end, every, ramp: cubic | geometric | linear }",
            example: "training: {epochs: 4}\n"
                + "stages: [{prune: {method: magnitude, sparsity: 0.9, scope: global, schedule: gradual}}]",
            paper: "Zhu and Gupta 2017, arXiv:1710.01878", evidence: "global-mp"),
        MethodDescription(
            name: "iterative", kind: .schedule,
            summary: "Trains, removes a part of what is left, rewinds the rest to early weights and trains again.",
            recipeKey: "prune.schedule: { kind: iterative, levels, rewind: EPOCH | none }",
            example: "training: {epochs: 4}\nstages: [{prune: {method: magnitude, sparsity: 0.9, scope: global, "
                + "schedule: {kind: iterative, levels: 5, rewind: 0.5}}}]",
            paper: "Frankle et al. 2019, arXiv:1903.01611", evidence: "lth-rewinding"),
        MethodDescription(
            name: "dynamic", kind: .schedule,
            summary: "Sparse from the start of training; connections move at random (SET) or to where gradients are "
                + "largest (RigL).",
            recipeKey: "prune.schedule: { kind: dynamic, by: rigl | set, drop, every, end }",
            example: "training: {epochs: 10}\nstages: [{prune: {method: random, sparsity: 0.9, allocation: erk, "
                + "schedule: {kind: dynamic, by: rigl}}}]",
            paper: "Mocanu et al. 2018, arXiv:1707.04780; Evci et al. 2020, arXiv:1911.11134", evidence: nil),
        MethodDescription(
            name: "sap", kind: .schedule,
            summary: "Rounds of training, each of which removes what the PQ index says can go; stops by itself.",
            recipeKey: "prune.schedule: { kind: sap, rounds, rewind, p, q, eta, gamma, beta, "
                + "scope: global | layer | neuron, keep: last | best, tolerance }",
            example: "training: {epochs: 5}\nstages: [{prune: {method: magnitude, schedule: {kind: sap, rounds: 8}}}]",
            paper: "Diao et al. 2023, arXiv:2302.05601", evidence: "pqi-sap"),
        MethodDescription(
            name: "fine-tune", kind: .recovery,
            summary: "Trains the kept weights on; masks hold, momentum included.",
            recipeKey: "prune.recovery: fine-tune, training",
            example: "training: {epochs: 2, batch_size: 64}\n"
                + "stages: [{prune: {method: magnitude, sparsity: 0.8, recovery: fine-tune}}]",
            paper: "Han et al. 2015, arXiv:1506.02626", evidence: nil),
        MethodDescription(
            name: "subset retraining", kind: .recovery,
            summary: "Trains some parameters on, such as biases and norms or one layer; all others stay bit for bit.",
            recipeKey: "prune.recovery: { kind: fine-tune | distill, trains: NAME OR PATTERNS }",
            example: "stages: [{prune: {method: magnitude, sparsity: 0.5, recovery: {kind: fine-tune, trains: bias}}}]",
            paper: "Zimmer et al. 2023, arXiv:2312.15230", evidence: nil),
        MethodDescription(
            name: "distill", kind: .recovery,
            summary: "Trains the kept weights on the answers of the network as it was, and on the labels.",
            recipeKey: "prune.recovery: { kind: distill, temperature, teacher_share }",
            example: "stages: [{prune: {method: magnitude, sparsity: 0.8, recovery: distill}}]",
            paper: "Hinton et al. 2015, arXiv:1503.02531", evidence: nil),
        MethodDescription(
            name: "surgeon", kind: .recovery,
            summary:
                "Kept weights make up for removed ones by the inverse Fisher matrix each time some go, at once or on a "
                + "ramp.",
            recipeKey: "prune.recovery: surgeon",
            example: "stages: [{prune: {method: obd, sparsity: 0.5, recovery: surgeon, schedule: {kind: one-shot, "
                + "rounds: 8}}}]",
            paper: "Hassibi and Stork 1993, Second order derivatives for network pruning (NIPS 5)", evidence: nil),
        MethodDescription(
            name: "reconstruct", kind: .recovery,
            summary:
                "Kept weights of each matrix of a language model make up for removed ones by the inputs that it sees, for "
                + "masks of magnitude, wanda and random.",
            recipeKey: "prune.recovery: reconstruct, prune.dampening",
            example: "stages: [{prune: {method: wanda, sparsity: 0.5, recovery: reconstruct}}]",
            paper: "Frantar and Alistarh 2023, arXiv:2301.00774", evidence: nil),
    ]
}
