import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

@Suite struct ClassificationRecipeTests {
    private func message(_ yaml: String) -> String {
        failure { _ = try ClassificationRecipe(yaml: yaml, source: "r.yaml") }
    }

    @Test func everyKeyIsRead() throws {
        let recipe = try ClassificationRecipe(
            yaml: """
                name: small
                seed: 9
                model: { architecture: vgg11-bn, width_multiplier: 0.5, weights: old }
                images:
                  directory: here
                  normalization: computed
                  validation: 0.2
                  augmentation: { padding: 2, flips: true, cutout: 8 }
                optimizer:
                  kind: sgd
                  learning_rate: 0.2
                  momentum: 0.8
                  nesterov: true
                  weight_decay: 1e-3
                  decay: matrices
                  clip_norm: 2
                schedule: { kind: step, warmup_epochs: 2, drops: [0.3, 0.6], drop_factor: 0.2 }
                training:
                  batch_size: 32
                  epochs: 5.5
                  validate_every: 0.5
                  log_every: 7
                  patience: 3
                  label_smoothing: 0.1
                  precision: bf16
                  bn_scale_l1: 1.0e-4
                """)
        #expect(recipe.loop.scaleSparsity == 1e-4)
        #expect(recipe.trainingFields.contains { $0.key == "training.bn_scale_l1" && $0.value == "0.0001" })
        #expect(recipe.name == "small" && recipe.seed == 9)
        #expect(recipe.model.architecture == "vgg11-bn" && recipe.model.widthMultiplier == 0.5)
        #expect(recipe.model.weights == "old")
        #expect(recipe.images.directory == "here" && recipe.images.normalization == .computed)
        #expect(recipe.images.validation == .heldOut(0.2))
        #expect(recipe.images.augmentation == ImageAugmentation(padding: 2, flips: true, cutout: 8))
        let optimizer = recipe.optimizer
        #expect(optimizer.kind == .sgd && optimizer.learningRate == 0.2 && optimizer.momentum == 0.8)
        #expect(optimizer.nesterov && optimizer.weightDecay == 1e-3 && optimizer.clipNorm == 2)
        #expect(optimizer.decay == .matrices)
        #expect(recipe.schedule.kind == .step && recipe.schedule.drops == [0.3, 0.6])
        #expect(recipe.schedule.warmupEpochs == 2 && recipe.schedule.dropFactor == 0.2)
        #expect(recipe.loop.batchSize == 32 && recipe.loop.epochs == 5.5 && recipe.loop.validateEvery == 0.5)
        #expect(recipe.loop.logEvery == 7 && recipe.loop.patience == 3 && recipe.loop.labelSmoothing == 0.1)
        #expect(recipe.loop.precision == .bf16)
        let short = try ClassificationRecipe(
            yaml: """
                model: { architecture: resnet20 }
                images: { directory: a, validation: test, augmentation: standard }
                optimizer: { kind: adamw, betas: [0.8, 0.9] }
                """)
        #expect(short.images.validation == .test && short.images.augmentation == .standard)
        #expect(short.optimizer.learningRate == 1e-3 && short.optimizer.beta2 == 0.9)
    }

    @Test(arguments: [
        ("images: { directory: a }", "the key \"model\" is missing"),
        ("model: { architecture: resnet20 }", "the key \"images\" is missing"),
        ("model: { architecture: resnet21 }\nimages: { directory: a }", "line 1: model.architecture"),
        ("model: { architecture: resnet20 }\nimages: {}", "the key \"directory\" is missing"),
        ("model: { architecture: resnet20 }\nimages: { directory: a, validation: 1 }", "below 1"),
        ("model: { architecture: resnet20 }\nimages: { directory: a, validation: nan }", "images.validation"),
        ("model: { architecture: resnet20 }\nimages: { directory: a, augmentation: heavy }", "unknown value"),
        ("model: { architecture: resnet20 }\nimages: { directory: a }\noptimizer: { betas: [0, 0] }", "for sgd"),
        ("model: { architecture: resnet20 }\nimages: { directory: a }\nschedule: { drops: [0.5] }", "no meaning"),
        ("model: { architecture: resnet20 }\nimages: { directory: a }\ntraining: { epoch: 3 }", "epochs"),
        ("model: { architecture: resnet20 }\nimages: { directory: a }\ntraining: { batch_size: 0 }", "from 1"),
        (
            "model: { architecture: resnet20 }\nimages: { directory: a, validation: 0 }\ntraining: { patience: 2 }",
            "patience needs validation"
        ),
        (
            "model: { architecture: resnet20, sequence_length: 28 }\nimages: { directory: a }",
            "line 1: model.sequence_length: has no meaning for resnet20, which takes images; leave it out"
        ),
        (
            "model: { weights: a, sequence_length: 28 }\nimages: { directory: a }",
            "sequence_length: expected an architecture beside it"
        ),
        (
            "model: { architecture: resnet20 }\ndata: { directory: a }",
            "line 2: data: names the texts of a language model, and model.architecture a network of images; expected "
                + "images in its place"
        ),
    ])
    func refusesWhatCannotBe(yaml: String, expected: String) {
        let message = message(yaml)
        #expect(message.contains(expected), "\(message)")
        #expect(message.hasPrefix("r.yaml") && !message.contains("\n"))
    }

    @Test func theWindowOfGradientsIsRead() throws {
        func recipe(_ optimizer: String) -> String {
            "model: { architecture: resnet20 }\nimages: { directory: a }\noptimizer: { \(optimizer) }"
        }
        let standard = try ClassificationRecipe(yaml: recipe("kind: mfac")).optimizer
        #expect(standard.kind == .mfac && standard.learningRate == 1e-3 && standard.weightDecay == 3e-3)
        #expect(standard.fisherWindow == FisherWindowOptions())
        let own = try ClassificationRecipe(
            yaml: recipe("kind: mfac, gradients: 512, dampening: 1e-6, sparse: true, storage: bf16, momentum: 0"))
        let optimizer = own.training(images: 100).optimizer as? MFAC
        #expect(
            optimizer
                == MFAC(
                    window: 512, dampening: 1e-6, momentum: 0, weightDecay: 3e-3, isSparse: true, storage: .bf16))
        for key in ["gradients: 512", "dampening: 1e-6", "sparse: true", "storage: bf16"] {
            let other = try ClassificationRecipe(yaml: recipe("kind: mfac, \(key)"))
            let plain = try ClassificationRecipe(yaml: recipe("kind: mfac"))
            #expect(other.optimizer != plain.optimizer)
            #expect(other.trainingFields.map(\.value) != plain.trainingFields.map(\.value))
            #expect(message(recipe("kind: sgd, \(key)")).contains("has no meaning for sgd; leave it out"))
            #expect(message(recipe("kind: adamw, \(key)")).contains("has no meaning for adamw; leave it out"))
        }
        for key in ["nesterov: true", "betas: [0.9, 0.9]", "epsilon: 1e-8"] {
            #expect(message(recipe("kind: mfac, \(key)")).contains("has no meaning for mfac; leave it out"))
        }
        #expect(message(recipe("kind: mfac, gradients: 0")).contains("optimizer.gradients: expected a whole number"))
        #expect(message(recipe("kind: mfac, dampening: 0")).contains("optimizer.dampening: expected a number from"))
        #expect(message(recipe("kind: mfac, storage: f16")).contains("storage: unknown value"))
        let text = try TrainingRecipe(
            yaml: "data: { train: a }\noptimizer: { kind: mfac, gradients: 8, momentum: 0.5 }")
        #expect(text.optimizer.kind == .mfac && text.optimizer.fisherWindow.gradients == 8)
        #expect(text.optimizer.momentum == 0.5 && text.optimizer.weightDecay == 3e-3)
        #expect(
            failure { _ = try TrainingRecipe(yaml: "data: { train: a }\noptimizer: { gradients: 8 }") }
                .contains("has no meaning for adamw; leave it out"))
    }

    @Test func theKeyImagesTellsTheKind() throws {
        let folder = try TemporaryFolder()
        try folder.write("a.yaml", "model: { architecture: resnet20 }\nimages: { directory: a }")
        try folder.write("b.yaml", "data: { train: a.txt }")
        // The network says what was meant.
        try folder.write("c.yaml", "model: { architecture: resnet20 }\ndata: { directory: a }")
        #expect(
            failure { _ = try AnyTrainingRecipe.load(folder.path + "/c.yaml") }.contains("c.yaml: line 2: data: names"))
        guard case .classification = try AnyTrainingRecipe.load(folder.path + "/a.yaml"),
            case .languageModel = try AnyTrainingRecipe.load(folder.path + "/b.yaml")
        else {
            Issue.record("a recipe was taken for the other kind")
            return
        }
    }
}
