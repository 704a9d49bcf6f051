/// An opened bundle in its runtime, for an app: answers one text after the other, off the main actor.
public actor Session {
  public nonisolated let bundle: ModelBundle
  public nonisolated let predictor: Predictor
  private let classifier: any Classifier

  /// Checks a bundle and loads it, which takes up to seconds.
  ///
  /// - Throws: `InputError`: it is no bundle, or has no engine here; or the runtime's own error.
  public static func open(
    _ bundle: ModelBundle, engines: [any Engine], settings: Settings = Settings()
  ) async throws -> Session {
    let engine = try engines.engine(for: bundle)
    let predictor = try stage("vocabulary") { try Predictor(bundle) }
    return Session(bundle, predictor, try await stage("load") { try await engine.load(bundle, settings) })
  }

  private init(_ bundle: ModelBundle, _ predictor: Predictor, _ classifier: sending any Classifier) {
    self.bundle = bundle
    self.predictor = predictor
    self.classifier = classifier
  }

  /// The answer to what a user wrote, and how long each stage took.
  ///
  /// - Throws: `InputError`: the texts are not this task's.
  public func answer(_ texts: [String]) throws -> TimedAnswer { try predictor.timed(texts, with: classifier) }
}
