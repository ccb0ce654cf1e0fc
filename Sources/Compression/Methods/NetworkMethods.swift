extension Methods {
    /// What only networks in memory are pruned with: vision networks, by recipe.
    static let networks: [MethodDescription] = [
        MethodDescription(
            name: "snip", kind: .criterion,
            summary:
                "Removes the weights whose going changes the loss least, to first order: |w g|, g the mean gradient.",
            recipeKey: "prune.method: snip",
            example: "stages: [{prune: {method: snip, sparsity: 0.9, recovery: fine-tune}}]",
            paper: "Lee et al. 2019, arXiv:1810.02340", evidence: nil),
        MethodDescription(
            name: "grasp", kind: .criterion,
            summary: "Keeps the weights that gradient flow needs: w (H g), with exact products by the Hessian.",
            recipeKey: "prune.method: grasp, prune.temperature",
            example: "stages: [{prune: {method: grasp, sparsity: 0.9, recovery: fine-tune}}]",
            paper: "Wang et al. 2020, arXiv:2002.07376", evidence: nil),
        MethodDescription(
            name: "synflow", kind: .criterion,
            summary: "Removes the weights with the least flow through the network, in 100 rounds; needs no data.",
            recipeKey: "prune.method: synflow",
            example: "stages: [{prune: {method: synflow, sparsity: 0.9}}]",
            paper: "Tanaka et al. 2020, arXiv:2006.05467", evidence: nil),
        MethodDescription(
            name: "taylor", kind: .criterion,
            summary: "Removes the weights with the smallest (w g)², the mean over batches.",
            recipeKey: "prune.method: taylor",
            example: "stages: [{prune: {method: taylor, sparsity: 0.5}}]",
            paper: "Molchanov et al. 2019, arXiv:1906.10771", evidence: nil),
        MethodDescription(
            name: "obd", kind: .criterion,
            summary: "Optimal brain damage with the diagonal of the empirical Fisher matrix.",
            recipeKey: "prune.method: obd, prune.gradients, prune.gradient_batch, prune.dampening",
            example: "stages: [{prune: {method: obd, sparsity: 0.5}}]",
            paper: "LeCun et al. 1990, Optimal Brain Damage (NIPS 2)", evidence: nil),
        MethodDescription(
            name: "woodfisher", kind: .criterion,
            summary: "Saliencies of optimal brain surgeon, the inverse Fisher matrix in blocks of consecutive weights.",
            recipeKey: "prune.method: woodfisher, prune.block_size",
            example: "stages: [{prune: {method: woodfisher, sparsity: 0.7, recovery: surgeon}}]",
            paper: "Singh and Alistarh 2020, arXiv:2004.14340", evidence: nil),
        MethodDescription(
            name: "m-fac", kind: .criterion,
            summary: "Saliencies of optimal brain surgeon, the inverse Fisher matrix whole and never formed.",
            recipeKey: "prune.method: m-fac, prune.gradients",
            example: "stages: [{prune: {method: m-fac, sparsity: 0.7, recovery: surgeon}}]",
            paper: "Frantar et al. 2021, arXiv:2107.03356", evidence: nil),
        MethodDescription(
            name: "mask", kind: .criterion,
            summary: "Removes what is zero in another network of the same architecture, such as a found ticket.",
            recipeKey: "prune.method: mask, prune.masks: PATH",
            example: "stages: [{prune: {method: mask, masks: pruned, recovery: fine-tune}}]",
            paper: "Frankle and Carbin 2019, arXiv:1803.03635", evidence: nil),
        MethodDescription(
            name: "gradual", kind: .schedule,
            summary: "Prunes while the network trains, on a cubic ramp that is steep at first and flat in the end.",
            recipeKey: "prune.schedule: { kind: gradual, begin, end, every }",
            example: "training: {epochs: 4}\n"
                + "stages: [{prune: {method: magnitude, sparsity: 0.9, scope: global, schedule: gradual}}]",
            paper: "Zhu and Gupta 2017, arXiv:1710.01878", evidence: nil),
        MethodDescription(
            name: "iterative", kind: .schedule,
            summary: "Trains, removes a part of what is left, rewinds the rest to early weights and trains again.",
            recipeKey: "prune.schedule: { kind: iterative, levels, rewind: EPOCH | none }",
            example: "training: {epochs: 4}\nstages: [{prune: {method: magnitude, sparsity: 0.9, scope: global, "
                + "schedule: {kind: iterative, levels: 5, rewind: 0.5}}}]",
            paper: "Frankle et al. 2019, arXiv:1903.01611", evidence: nil),
        MethodDescription(
            name: "fine-tune", kind: .recovery,
            summary: "Trains the kept weights on; masks hold, momentum included.",
            recipeKey: "prune.recovery: fine-tune, training",
            example: "training: {epochs: 2, batch_size: 64}\n"
                + "stages: [{prune: {method: magnitude, sparsity: 0.8, recovery: fine-tune}}]",
            paper: "Han et al. 2015, arXiv:1506.02626", evidence: nil),
        MethodDescription(
            name: "distill", kind: .recovery,
            summary: "Trains the kept weights on the answers of the network as it was, and on the labels.",
            recipeKey: "prune.recovery: { kind: distill, temperature, teacher_share }",
            example: "stages: [{prune: {method: magnitude, sparsity: 0.8, recovery: distill}}]",
            paper: "Hinton et al. 2015, arXiv:1503.02531", evidence: nil),
        MethodDescription(
            name: "surgeon", kind: .recovery,
            summary: "Kept weights make up for removed ones by the inverse Fisher matrix, without training.",
            recipeKey: "prune.recovery: surgeon",
            example: "stages: [{prune: {method: obd, sparsity: 0.5, recovery: surgeon, schedule: {kind: one-shot, "
                + "rounds: 8}}}]",
            paper: "Hassibi and Stork 1993, Second order derivatives for network pruning (NIPS 5)", evidence: nil),
    ]
}
