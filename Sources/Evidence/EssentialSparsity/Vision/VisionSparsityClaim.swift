/// What the paper claims of vision transformers, in the order of the report.
enum VisionSparsityClaim: String, PublishedClaim {
    case sharpDrop = "vision-sharp-drop"
    case magnitudeBeatsRandom = "vision-magnitude-beats-random"
    case control = "vision-control"
    case selfSupervised = "vision-self-supervised"

    var statement: String {
        switch self {
        case .sharpDrop:
            "A pre-trained vision transformer that is pruned in one shot and fine-tuned has a sharp dropping point."
        case .magnitudeBeatsRandom:
            "In a vision transformer too, random masks of the same size do worse than magnitude."
        case .control:
            "In a vision transformer too it comes from pre-training: from initial weights magnitude is no better than "
                + "random masks."
        case .selfSupervised:
            "A self-supervised pre-training makes a vision transformer sparser than a supervised one on the same images."
        }
    }

    var paper: String {
        switch self {
        case .sharpDrop: "A sharp dropping point for pre-trained ViT, between about 30 and 60 % depending on the task"
        case .magnitudeBeatsRandom: "Random masks lie below magnitude masks at every sparsity"
        case .control: "Essential sparsity is a property of pre-trained weights"
        case .selfSupervised: "SSL objectives induce stronger sparsification than supervised ones"
        }
    }

    var criterion: String {
        switch self {
        case .sharpDrop:
            "after a supervised pre-training and after a self-supervised one the test error after fine-tuning, mean over "
                + "seeds, rises at least 5 times as steeply after the knee as before it"
        case .magnitudeBeatsRandom:
            "for s ≥ 0.2 never a larger error after fine-tuning, means over seeds, after either pre-training"
        case .control:
            "from initial weights, fine-tuned alike, accuracies under magnitude and random masks differ by at most 2 "
                + "points, means over seeds, where the dense network is at least 10 points above guessing"
        case .selfSupervised:
            "more of the weights are near zero at the end of pre-training, by more than 4 standard errors, and s_τ after "
                + "fine-tuning is not smaller, means over seeds"
        }
    }
}
