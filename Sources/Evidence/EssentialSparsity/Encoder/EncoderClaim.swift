/// What the paper claims of encoders, in the order of the report.
enum EncoderClaim: String, PublishedClaim {
    case sharpDrop = "encoder-sharp-drop"
    case magnitudeBeatsRandom = "encoder-magnitude-beats-random"
    case lotteryTickets = "lottery-ticket-agreement"
    case patterns = "encoder-n-m-drop"
    case control = "encoder-control"
    case nearZero = "near-zero-along-pre-training"
    case abrupt = "abrupt-sparsification"
    case moreData = "more-data"
    case selfSupervised = "self-supervised"

    var statement: String {
        switch self {
        case .sharpDrop: "A pre-trained encoder that is pruned in one shot and fine-tuned has a sharp dropping point."
        case .magnitudeBeatsRandom: "In an encoder too, random masks of the same size do worse than magnitude."
        case .lotteryTickets:
            "Up to the dropping point a magnitude mask is as good as a lottery-ticket mask and nearly the same mask."
        case .patterns: "The dropping point is there for N:M patterns of a fine-tuned encoder too."
        case .control: "It comes from pre-training: from initial weights magnitude is no better than random masks."
        case .nearZero: "During pre-training more and more weights come close to zero, with and without weight decay."
        case .abrupt: "Sparsity appears abruptly at some point of pre-training."
        case .moreData: "A model trained on more data needs fewer of its weights."
        case .selfSupervised: "Self-supervised objectives make an encoder's weights sparser than supervised ones."
        }
    }

    var paper: String {
        switch self {
        case .sharpDrop: "A sharp dropping point for pre-trained BERT, between about 30 and 60 % depending on the task"
        case .magnitudeBeatsRandom:
            "Random masks, uniform or with ERK densities, lie below magnitude masks at every sparsity"
        case .lotteryTickets: "Cosine similarity of the masks close to 1 below the dropping point"
        case .patterns: "Holds for N:M patterns"
        case .control: "Essential sparsity is a property of pre-trained weights"
        case .nearZero: "The share of near-zero weights grows during pre-training"
        case .abrupt: "BERT becomes abruptly sparse after a certain iteration"
        case .moreData: "BERT pre-trained on more data condenses knowledge into relatively fewer parameters"
        case .selfSupervised: "SSL objectives induce stronger sparsification than supervised ones"
        }
    }

    var criterion: String {
        switch self {
        case .sharpDrop:
            "the test error after fine-tuning, mean over seeds, rises at least 5 times as steeply after the knee as "
                + "before it"
        case .magnitudeBeatsRandom:
            "for s ≥ 0.2 never a larger error after fine-tuning nor a larger loss without it, means over seeds, and "
                + "the loss at s = 0.4 better by at least 0.1 nats"
        case .lotteryTickets:
            "for every s ≤ s_k the accuracies differ by at most 1 point, means over seeds, and the cosine of the masks "
                + "is at least 0.9 of its value at s = 0.1"
        case .patterns:
            "along N:8 from 7:8 to 1:8 the error after fine-tuning rises at least 5 times as steeply after the knee as "
                + "before it"
        case .control:
            "from initial weights, fine-tuned alike and trained until the task is learned, accuracies under magnitude "
                + "and random masks differ by at most 2 points, means over seeds: two standard errors of the tests"
        case .nearZero:
            "the shares below 0.01 and 0.1 of the root mean square at the start are larger at the end than at the start "
                + "by more than 4 standard errors, at decay 0 and at 0.1"
        case .abrupt:
            "between checkpoints equally spaced on a logarithmic scale the largest rise of the share below 0.1 of the root "
                + "mean square at the start is at least 3 times the mean rise and does not begin at the start, at decay 0 "
                + "and at 0.1"
        case .moreData: "s_τ is not smaller with more data, mean over seeds, with fine-tuning and without"
        case .selfSupervised:
            "the shares below 0.01 and 0.1 of the root mean square at the start are larger than after a supervised "
                + "pre-training of the same architecture by more than 4 standard errors, means over seeds"
        }
    }
}
