import SwiftUI

/// The app: what the bundles that are here can be asked, how fast they are, and which they are.
struct RootView: View {
  @Environment(Demo.self) private var demo

  var body: some View {
    @Bindable var demo = demo
    TabView {
      AskView(tasks: demo.tasks.filter { $0 != .questions })
        .tabItem { Label("Classify", systemImage: "text.magnifyingglass") }
      if demo.tasks.contains(.questions) {
        AskView(tasks: [.questions])
          .tabItem { Label("Answer", systemImage: "questionmark.bubble") }
      }
      BenchmarkView()
        .tabItem { Label("Benchmark", systemImage: "stopwatch") }
      BundlesView()
        .tabItem { Label("Bundles", systemImage: "shippingbox") }
    }
    .task { await demo.refresh() }
    .alert("That did not work", isPresented: $demo.hasProblem, presenting: demo.problem) { _ in
      Button("OK") {}
    } message: { problem in
      Text(problem)
    }
  }
}

/// What stands where there is no bundle to ask.
struct NoBundles: View {
  @Environment(Demo.self) private var demo

  var body: some View {
    if demo.isReading {
      ProgressView("Reading the bundles")
    } else {
      ContentUnavailableView(
        "No bundle here", systemImage: "shippingbox",
        description: Text("Run squeezebert-edge demo ios BUNDLE and build again, or open a bundle under Bundles."))
    }
  }
}
