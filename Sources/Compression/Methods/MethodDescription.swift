/// What a user needs to know to choose a compression method: the rows of `coppice methods`.
public struct MethodDescription: Sendable, Hashable, Codable {
    /// The families of methods.
    public enum Kind: String, Sendable, Hashable, Codable, CaseIterable {
        case criterion, granularity, allocation, schedule, recovery, quantization, factorization, calibration, analysis
    }

    /// The method's name.
    public var name: String
    public var kind: Kind
    /// One sentence.
    public var summary: String
    /// How a recipe asks for it: the key and its value. Nil for what is not part of a recipe.
    public var recipeKey: String?
    /// A complete recipe that uses it. Nil for what is not part of a recipe.
    public var example: String?
    /// Where it comes from.
    public var paper: String
    /// The experiment that checks its paper's claims here (`coppice reproduce ID`), if there is one.
    public var evidence: String?
}

/// Every compression method that there is.
public enum Methods {
    /// The catalogue, by kind and then in the order of explanation.
    public static let all: [MethodDescription] =
        [
            MethodDescription(
                name: "magnitude", kind: .criterion,
                summary: "Removes the weights with the smallest absolute values; needs no data.",
                recipeKey: "prune.method: magnitude",
                example: "stages: [{prune: {method: magnitude, sparsity: 0.3, scope: global}}]",
                paper: "Han et al. 2015, arXiv:1506.02626; one-shot: Jaiswal et al. 2023, arXiv:2306.03805",
                evidence: "essential-sparsity"),
            MethodDescription(
                name: "wanda", kind: .criterion,
                summary:
                    "Removes the weights with the smallest |weight| × norm of its input on calibration data, within "
                    + "each output; of language models and encoders block by block behind the pruned prefix.",
                recipeKey: "prune.method: wanda",
                example: "stages: [{prune: {method: wanda, sparsity: 0.5}}]",
                paper: "Sun et al. 2023, arXiv:2306.11695", evidence: nil),
            MethodDescription(
                name: "sparsegpt", kind: .criterion,
                summary:
                    "Removes the weights of a language model whose loss the others of their row make up for best, by the "
                    + "second moments of the inputs on a calibration text, block by block behind the pruned prefix.",
                recipeKey: "prune.method: sparsegpt, prune.block_size, prune.dampening",
                example: "stages: [{prune: {method: sparsegpt, pattern: \"2:4\"}}]",
                paper: "Frantar and Alistarh 2023, arXiv:2301.00774", evidence: nil),
            MethodDescription(
                name: "random", kind: .criterion,
                summary: "Removes weights at random, seeded: the control that every criterion must beat.",
                recipeKey: "prune.method: random",
                example: "stages: [{prune: {method: random, sparsity: 0.3}}]",
                paper: "baseline in Jaiswal et al. 2023, arXiv:2306.03805", evidence: "essential-sparsity"),
            MethodDescription(
                name: "unstructured", kind: .granularity,
                summary: "Any weight may go; compared within a row, a matrix (layer) or the whole model (global).",
                recipeKey: "prune.pattern: unstructured, prune.scope: row | layer | global",
                example: "stages: [{prune: {method: magnitude, sparsity: 0.5, scope: layer}}]",
                paper: "Han et al. 2015, arXiv:1506.02626", evidence: "essential-sparsity"),
            MethodDescription(
                name: "N:M", kind: .granularity,
                summary:
                    "Keeps N of every M consecutive inputs of a row, a pattern that kernels multiply without an index "
                    + "search.",
                recipeKey: "prune.pattern: \"2:4\"",
                example: "stages: [{prune: {method: magnitude, pattern: \"2:4\"}}]",
                paper: "Mishra et al. 2021, arXiv:2104.08378", evidence: "essential-sparsity"),
            MethodDescription(
                name: "group", kind: .granularity,
                summary:
                    "Whole groups of 4 to 64 consecutive inputs of a row go; with quantize and groups of 16 and more, the "
                    + "group-sparse format whose decoding takes the time of what is kept.",
                recipeKey:
                    "prune.pattern: group, prune.group_size: 4 | 8 | 16 | 32 | 64, prune.group_score: mean | max | l2",
                example: "stages: [{prune: {method: magnitude, sparsity: 0.5, pattern: group}}, {quantize: {bits: 4}}]",
                paper: "Zeng et al. 2024, arXiv:2412.17560", evidence: nil),
            MethodDescription(
                name: "block", kind: .granularity,
                summary: "Whole blocks of consecutive rows and columns go, which kernels of dense tiles can skip.",
                recipeKey: "prune.pattern: block, prune.block: [rows, columns], prune.group_score: mean | max | l2",
                example: "stages: [{prune: {method: magnitude, sparsity: 0.5, pattern: block, block: [4, 4]}}]",
                paper: "Gray et al. 2017, GPU kernels for block-sparse weights (OpenAI)", evidence: nil),
            MethodDescription(
                name: "channels", kind: .granularity,
                summary:
                    "Whole channels, or filters that one layer makes, go with all that is coupled to them, and a smaller dense "
                    + "vision network is left; also: coppice prune-channels.",
                recipeKey:
                    "prune.granularity: filter | channel, prune.of: channels | parameters | multiplications, "
                    + "prune.allocation: rate-distortion",
                example:
                    "stages: [{prune: {method: taylor, sparsity: 0.5, granularity: channel, of: multiplications}}, "
                    + "{quantize: {bits: 8}}]",
                paper: "Li et al. 2017, arXiv:1608.08710; Fang et al. 2023, arXiv:2301.12900",
                evidence: nil),
            MethodDescription(
                name: "heads and neurons", kind: .granularity,
                summary:
                    "Whole attention heads (with the queries that share their keys) or feed-forward neurons of a language "
                    + "model or an encoder go; as many in each block leave a smaller dense model.",
                recipeKey: "prune.granularity: head | neuron, prune.scope: layer | global",
                example:
                    "stages: [{prune: {method: taylor, sparsity: 0.5, granularity: head}}, "
                    + "{prune: {method: wanda, sparsity: 0.25, granularity: neuron}}, {quantize: {bits: 8}}]",
                paper: "Michel et al. 2019, arXiv:1905.10650; Molchanov et al. 2019, arXiv:1906.10771; An et al. 2023, "
                    + "arXiv:2312.11983",
                evidence: nil),
            MethodDescription(
                name: "uniform", kind: .allocation,
                summary: "Every matrix loses the same fraction.",
                recipeKey: "prune.allocation: uniform",
                example: "stages: [{prune: {method: magnitude, sparsity: 0.5, allocation: uniform}}]",
                paper: "baseline in Jaiswal et al. 2023, arXiv:2306.03805", evidence: "essential-sparsity"),
            MethodDescription(
                name: "global", kind: .allocation,
                summary: "One threshold for the whole model decides what each matrix loses.",
                recipeKey: "prune.scope: global",
                example: "stages: [{prune: {method: magnitude, sparsity: 0.5, scope: global}}]",
                paper: "Gupta et al. 2022, arXiv:2209.14624; Jaiswal et al. 2023, arXiv:2306.03805",
                evidence: "global-mp"),
            MethodDescription(
                name: "global with a floor", kind: .allocation,
                summary:
                    "One threshold for the whole model, but every matrix keeps a number or share of its largest weights, "
                    + "against layer collapse.",
                recipeKey: "prune.floor: 64 | 0.01, prune.floor_of: layer | model",
                example: "stages: [{prune: {method: magnitude, sparsity: 0.9, scope: global, floor: 0.01}}]",
                paper: "Gupta et al. 2022, arXiv:2209.14624", evidence: "global-mp"),
            MethodDescription(
                name: "lamp", kind: .allocation,
                summary:
                    "One threshold on squared weights over the sum of what is left of their matrix, so that scales of "
                    + "matrices do not count and none is emptied.",
                recipeKey: "prune.allocation: lamp",
                example: "stages: [{prune: {method: magnitude, sparsity: 0.5, allocation: lamp}}]",
                paper: "Lee et al. 2021, arXiv:2010.07611", evidence: "global-mp"),
            MethodDescription(
                name: "uniform+", kind: .allocation,
                summary: "Every matrix loses the same fraction, but the first none and the last four fifths at most.",
                recipeKey: "prune.allocation: uniform+",
                example: "stages: [{prune: {method: magnitude, sparsity: 0.5, allocation: uniform+}}]",
                paper: "Gale et al. 2019, arXiv:1902.09574", evidence: nil),
            MethodDescription(
                name: "budgets", kind: .allocation,
                summary: "Matrices that are named lose what is said, the others the stage's sparsity.",
                recipeKey: "prune.budgets: {name or pattern: fraction}",
                example: "stages: [{prune: {method: magnitude, sparsity: 0.3, budgets: {mlp: 0.6}}}]",
                paper: "set by the user, or by another program", evidence: nil),
            MethodDescription(
                name: "rate-distortion", kind: .allocation,
                summary:
                    "The split that costs a model's outputs least, by a dynamic programme over curves that are measured "
                    + "layer by layer, without labels: of single weights, or of whole channels (granularity: filter | "
                    + "channel; also: coppice prune-channels --allocation rate-distortion).",
                recipeKey:
                    "prune.allocation: rate-distortion, prune.grid, prune.samples, prune.distortion: mean | worst, "
                    + "prune.calibration: data | gaussian, prune.solver: exact | buckets | lagrangian, prune.buckets, "
                    + "prune.curves: a file of coppice analyze curves",
                example: "stages: [{prune: {method: magnitude, sparsity: 0.8, allocation: rate-distortion}}]",
                paper: "Xu et al. 2023, arXiv:2308.10438", evidence: "layer-adaptive-rd"),
            MethodDescription(
                name: "erk", kind: .allocation,
                summary:
                    "Erdős–Rényi densities: a weight keeps in proportion to its outputs plus inputs (plus the extents of "
                    + "its kernel), so that small ones stay denser.",
                recipeKey: "prune.allocation: erk",
                example: "stages: [{prune: {method: random, sparsity: 0.5, allocation: erk}}]",
                paper: "Mocanu et al. 2018, arXiv:1707.04780; Evci et al. 2020, arXiv:1911.11134",
                evidence: "essential-sparsity"),
            MethodDescription(
                name: "pq-index", kind: .allocation,
                summary:
                    "A matrix keeps in proportion to the part that the PQ index of its magnitudes says must stay: one "
                    + "with few large weights loses more.",
                recipeKey: "prune.allocation: pq-index, prune.p, prune.q",
                example: "stages: [{prune: {method: magnitude, sparsity: 0.5, allocation: pq-index}}]",
                paper: "bound: Diao et al. 2023, arXiv:2302.05601", evidence: nil),
            MethodDescription(
                name: "PreCropping", kind: .allocation,
                summary:
                    "Widths of a vision network for a budget of parameters or multiplications, before training and without "
                    + "data, by a convex programme: coppice precrop.",
                recipeKey: nil, example: nil, paper: "Cai et al. 2022, arXiv:2203.02549", evidence: "precropping"),
            MethodDescription(
                name: "layer lottery", kind: .granularity,
                summary:
                    "Whole residual blocks of vision networks, or layers and sub-layers of language models, go, before "
                    + "training or after it, scored by SNIP, GraSP, CKA, divergence or norm; also: coppice prune-blocks.",
                recipeKey: "prune.granularity: layer, prune.count, prune.blocks, prune.removable",
                example:
                    "stages: [{prune: {method: kl, granularity: layer, count: 1}}, "
                    + "{prune: {method: magnitude, sparsity: 0, recovery: distill}}]",
                paper: "Jordao et al. 2023, arXiv:2301.10835", evidence: "layer-lottery"),
            MethodDescription(
                name: "consensus gates", kind: .schedule,
                summary:
                    "Gates on residual blocks or channels come to one decision for all images while the network is "
                    + "trained once, and what they close is cut out: gates in a recipe of coppice train, coppice gates "
                    + "extract.",
                recipeKey: nil, example: nil, paper: "Zhi et al. 2023, arXiv:2302.10798",
                evidence: "consensus-polarization"),
            MethodDescription(
                name: "round-to-nearest", kind: .quantization,
                summary:
                    "8- or 4-bit integer weights, symmetric or with a zero point, one scale per output or per group of "
                    + "inputs.",
                recipeKey: "quantize.bits: 8 | 4, quantize.symmetric: true | false, "
                    + "quantize.group_size: channel | 16 … 256",
                example: "stages: [{quantize: {bits: 4, group_size: 32, symmetric: false}}]",
                paper: "Jacob et al. 2018, arXiv:1712.05877; survey: Gholami et al. 2021, arXiv:2103.13630",
                evidence: nil),
            MethodDescription(
                name: "truncated SVD", kind: .factorization,
                summary:
                    "A matrix becomes a product of two thin ones, of a given rank, size or share of its squared norm; "
                    + "quantize rounds both.",
                recipeKey: "low-rank.rank | low-rank.ratio | low-rank.energy",
                example: "stages: [{low-rank: {energy: 0.9}}, {quantize: {bits: 8}}]",
                paper: "Eckart and Young 1936, doi:10.1007/BF02288367", evidence: nil),
            MethodDescription(
                name: "bit planes", kind: .quantization,
                summary:
                    "Integer weights of any width from 2 to 8 bits that take exactly so many, the scale of each group "
                    + "searched for the least squared error.",
                recipeKey: "quantize.bits: 2 | 3 | 5 | 6 | 7, quantize.symmetric: true | false",
                example: "stages: [{quantize: {bits: 3, group_size: 64, symmetric: false}}]",
                paper: "Ma et al. 2024, arXiv:2409.17870; scale search: survey, Gholami et al. 2021, arXiv:2103.13630",
                evidence: nil),
            MethodDescription(
                name: "ternary", kind: .quantization,
                summary: "Weights -1, 0 and 1 times a scale for each group of inputs, in two bits.",
                recipeKey: "quantize.bits: ternary", example: "stages: [{quantize: {bits: ternary, group_size: 128}}]",
                paper: "Li et al. 2016, arXiv:1605.04711", evidence: nil),
            MethodDescription(
                name: "bipolar-INT", kind: .quantization,
                summary: "Odd multiples of half a step, 1 to 8 bits: symmetric, with no code wasted and none for zero.",
                recipeKey: "quantize.scheme: bipolar",
                example: "stages: [{quantize: {bits: 2, scheme: bipolar, group_size: 64}}]",
                paper: "Ma et al. 2024, arXiv:2409.17870", evidence: nil),
            MethodDescription(
                name: "k-means codebook", kind: .quantization,
                summary: "4, 8 or 16 levels by clustering the weights of a matrix, of each row or of each group.",
                recipeKey: "quantize.codebook: k-means, quantize.tables: tensor | row | group",
                example: "stages: [{quantize: {bits: 3, codebook: k-means, tables: row}}]",
                paper: "Han et al. 2016, arXiv:1510.00149; Kim et al. 2023, arXiv:2306.07629", evidence: nil),
            MethodDescription(
                name: "power exponent", kind: .quantization,
                summary: "Levels on a power curve, finer near zero; the exponent is searched for each matrix.",
                recipeKey: "quantize.codebook: power, quantize.exponent: search | 0.05 … 1",
                example: "stages: [{quantize: {bits: 4, codebook: power}}]",
                paper: "Yvinec et al. 2023, arXiv:2308.05600 and arXiv:2301.09858", evidence: nil),
            MethodDescription(
                name: "block-sequential calibration", kind: .calibration,
                summary: "Runs windows of a text through the model one block at a time; each block sees the already "
                    + "compressed prefix.",
                recipeKey: "calibration.samples, calibration.sequence_length",
                example: "calibration: {samples: 64, sequence_length: 256}\n"
                    + "stages: [{prune: {method: sparsegpt, sparsity: 0.5}}]",
                paper: "Frantar and Alistarh 2023, arXiv:2301.00774; Sun et al. 2023, arXiv:2306.11695", evidence: nil),
            MethodDescription(
                name: "sparse pre-training", kind: .analysis,
                summary:
                    "Prunes a language model by magnitude while `coppice train` trains it, between a quarter and three "
                    + "quarters of the compute: by the paper as good as a dense model of its average size. The recipe's "
                    + "prune.final_sparsity, prune.window and prune.ramp.",
                recipeKey: nil, example: nil,
                paper:
                    "The Journey Matters: Average Parameter Count over Pre-training Unifies Sparse and Dense Scaling "
                    + "Laws, 2025",
                evidence: "journey-matters"),
            MethodDescription(
                name: "scaling law", kind: .analysis,
                summary: "Fits the loss by average size and tokens to runs, and plans size, tokens and sparsity "
                    + "(`coppice scaling`).",
                recipeKey: nil, example: nil, paper: "Hoffmann et al. 2022, arXiv:2203.15556; average size: as above",
                evidence: "journey-matters"),
            MethodDescription(
                name: "essential sparsity", kind: .analysis,
                summary: "Sweeps sparsities and finds how much can be removed for free and where the loss breaks away.",
                recipeKey: nil, example: nil, paper: "Jaiswal et al. 2023, arXiv:2306.03805",
                evidence: "essential-sparsity"),
            MethodDescription(
                name: "PQ index", kind: .analysis,
                summary:
                    "Says by two norms how compressible weights are, and how many of them a network, layer or neuron "
                    + "can lose at a level of iterative pruning (SAP).",
                recipeKey: nil, example: nil, paper: "Diao et al. 2023, arXiv:2302.05601", evidence: "pqi-sap"),
            MethodDescription(
                name: "ticket stability", kind: .analysis,
                summary:
                    "Tells how far trainings of a sparse network end from each other and from the dense one, and what "
                    + "barrier lies between them.",
                recipeKey: nil, example: nil, paper: "Frankle et al. 2019, arXiv:1903.01611", evidence: "lth-rewinding"),
        ] + networks
}
