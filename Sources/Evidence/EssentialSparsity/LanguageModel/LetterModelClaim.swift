/// What the paper claims of language models, of one that is trained here, in the order of the report.
enum LetterModelClaim: String, PublishedClaim {
    case sharpDrop = "language-model-sharp-drop"
    case magnitudeBeatsRandom = "language-model-magnitude-beats-random"
    case nearZero = "language-model-near-zero"
    case abrupt = "language-model-abrupt"

    var statement: String {
        switch self {
        case .sharpDrop: "A language model that is trained here has a sharp dropping point without fine-tuning."
        case .magnitudeBeatsRandom: "In this language model too, random masks of the same size do worse than magnitude."
        case .nearZero:
            "As a language model is trained, more and more weights come close to zero, with and without weight decay."
        case .abrupt: "In a language model sparsity appears abruptly at some point of training."
        }
    }

    var paper: String {
        switch self {
        case .sharpDrop: "A sharp dropping point for pre-trained transformers, a large language model among them"
        case .magnitudeBeatsRandom:
            "Random masks, uniform or with ERK densities, lie below magnitude masks at every sparsity"
        case .nearZero: "The share of near-zero weights grows during pre-training"
        case .abrupt: "BERT becomes abruptly sparse after a certain iteration"
        }
    }

    var criterion: String {
        switch self {
        case .sharpDrop: "the loss, mean over seeds, rises at least 5 times as steeply after the knee as before it"
        case .magnitudeBeatsRandom:
            "never a larger loss for s ≥ 0.2 and better by at least 0.1 nats at s = 0.4, means over seeds"
        case .nearZero: EncoderClaim.nearZero.criterion
        case .abrupt: EncoderClaim.abrupt.criterion
        }
    }
}
