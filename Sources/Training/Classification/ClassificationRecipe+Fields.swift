extension ClassificationRecipe {
    /// What tells trainings apart, by the keys of the YAML: all that the same images and recipe give the same network by.
    package var trainingFields: [(key: String, value: String)] {
        func text<Value>(_ value: Value?) -> String { value.map { "\($0)" } ?? "none" }
        let validation =
            switch images.validation {
            case .none: "0"
            case .heldOut(let part): "\(part)"
            case .test: "test"
            }
        let augmentation = images.augmentation
        var gates = gates
        gates?.maximumDisagreement = 0  // decides what is cut out, not what is trained
        return [
            ("seed", "\(seed)"), ("model.architecture", model.architecture),
            ("model.width_multiplier", text(model.widthMultiplier)),
            ("model.sequence_length", text(model.sequenceLength)), ("model.weights", text(model.weights)),
            ("images.normalization", images.normalization.rawValue), ("images.validation", validation),
            (
                "images.augmentation",
                "padding \(augmentation.padding), flips \(augmentation.flips), cutout \(augmentation.cutout)"
            ),
            ("optimizer.kind", optimizer.kind.rawValue), ("optimizer.learning_rate", "\(optimizer.learningRate)"),
            ("optimizer.momentum", "\(optimizer.momentum)"), ("optimizer.nesterov", "\(optimizer.nesterov)"),
            ("optimizer.betas", "\(optimizer.beta1), \(optimizer.beta2)"),
            ("optimizer.epsilon", "\(optimizer.epsilon)"),
            ("optimizer.gradients", "\(optimizer.fisherWindow.gradients)"),
            ("optimizer.dampening", "\(optimizer.fisherWindow.dampening)"),
            ("optimizer.sparse", "\(optimizer.fisherWindow.isSparse)"),
            ("optimizer.storage", optimizer.fisherWindow.storage.rawValue),
            ("optimizer.weight_decay", "\(optimizer.weightDecay)"),
            ("optimizer.decay", "\(optimizer.decay)"), ("optimizer.clip_norm", text(optimizer.clipNorm)),
            ("schedule.kind", schedule.kind.rawValue), ("schedule.warmup_epochs", "\(schedule.warmupEpochs)"),
            ("schedule.minimum_ratio", "\(schedule.minimumRatio)"), ("schedule.drops", "\(schedule.drops)"),
            ("schedule.drop_factor", "\(schedule.dropFactor)"), ("training.batch_size", "\(loop.batchSize)"),
            ("training.epochs", "\(loop.epochs)"), ("training.validate_every", "\(loop.validateEvery)"),
            ("training.patience", text(loop.patience)), ("training.label_smoothing", "\(loop.labelSmoothing)"),
            ("training.precision", "\(loop.precision)"), ("training.bn_scale_l1", "\(loop.scaleSparsity)"),
            ("gates", text(gates)),
        ]
    }
}
