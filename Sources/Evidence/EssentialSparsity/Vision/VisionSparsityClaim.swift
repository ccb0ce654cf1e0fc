/// What the paper claims of vision transformers, in the order of the report.
enum VisionSparsityClaim: String, PublishedClaim {
    case sharpDrop = "vision-sharp-drop"
    case magnitudeBeatsRandom = "vision-magnitude-beats-random"
    case lotteryTickets = "vision-lottery-ticket-agreement"
    case patterns = "vision-n-m-drop"
    case control = "vision-control"
    case selfSupervised = "vision-self-supervised"

    var statement: String {
        switch self {
        case .sharpDrop:
            "A pre-trained vision transformer that is pruned in one shot and fine-tuned has a sharp dropping point."
        case .magnitudeBeatsRandom:
            "In a vision transformer too, random masks of the same size do worse than magnitude."
        case .lotteryTickets:
            "In a vision transformer too a magnitude mask is up to the dropping point as good as a lottery-ticket mask and "
                + "nearly the same mask."
        case .patterns: "The dropping point is there for N:M patterns of a fine-tuned vision transformer too."
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
        case .lotteryTickets: "Cosine similarity of the masks close to 1 below the dropping point"
        case .patterns: "Holds for N:M patterns"
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
            "for s ≥ 0.2 never a larger error after fine-tuning, means over seeds, after either pre-training; of random ERK "
                + "at four sparsities"
        case .lotteryTickets:
            "for every tested s ≤ s_k the accuracies differ by at most 1 point, means over seeds, and the cosine of the "
                + "masks is at least 0.9 of its value at s = 0.2, after either pre-training"
        case .patterns:
            "along N:8 from 7:8 to 1:8 the error after fine-tuning rises at least 5 times as steeply after the knee as "
                + "before it, after either pre-training"
        case .control:
            "from initial weights, fine-tuned alike, accuracies under magnitude and random masks differ by at most 2 "
                + "points, means over seeds, where the dense network is at least 10 points above guessing"
        case .selfSupervised:
            "the shares below 0.01 and 0.1 of the root mean square at the start are larger at the end of pre-training, by "
                + "more than 4 standard errors, and s_τ after fine-tuning is not smaller, means over seeds"
        }
    }
}
